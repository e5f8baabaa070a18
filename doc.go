// Package trunkline adds realtime channels to applications that run Postgres.
//
// It speaks the Phoenix Channels protocol, so phoenix.js and every other
// Phoenix client connect unmodified, over WebSockets and long polling. Any
// number of nodes form a cluster that shares nothing but one Postgres:
// broadcasts travel between them by LISTEN/NOTIFY.
//
// A Server serves sockets; a socket carries channels, one for each topic that
// its client joined. A channel is a value of the application's own type that
// implements Channel and, as it needs them, HandleIner, HandleOuter,
// HandleInfoer and Terminator. One value is made for each join, and its
// methods never run at the same time, so its fields need no lock: they are
// what Phoenix calls assigns.
//
//	srv, err := trunkline.New(trunkline.Config{
//		DatabaseURL:   os.Getenv("DATABASE_URL"),
//		SecretKeyBase: os.Getenv("SECRET_KEY_BASE"),
//	})
//	srv.Socket("/socket", trunkline.SocketOptions{Connect: connect})
//	srv.Channel("room:*", func() trunkline.Channel { return &Room{} })
//	http.Handle("/", srv)
//	err = srv.Run(ctx)
//
// Broadcasts are at most once, as in Phoenix: a client that is away misses
// them. Topics that Server.Durable names are more: what is published on them is
// stored in Postgres, numbered without gaps, and delivered to each subscriber
// once and in order, also to those that were away.
//
// Presence (Socket.Track) shows who is in a topic, on all nodes, without
// storing anything.
package trunkline
