// Package realtime is the engine: transports, sockets, channels and the local
// fan-out, with the semantics of Phoenix.Socket and Phoenix.Channel.
//
// It owns every client connection of the node, the table topic -> subscribers
// (the hub) and the mailboxes of the channels. It knows neither Postgres nor
// River: the cluster is met through the interface Bus, declared here. It may
// import internal/wire, internal/sock, internal/token and internal/worker,
// nothing else of ours.
//
// Invariants:
//
//   - The callbacks of one channel never run at the same time; channels are
//     independent of each other, also on one socket.
//   - An idle channel has no goroutine, an idle socket one (its reader).
//   - Nothing here blocks on a client: a frame is written at once or queued,
//     and a client too slow for its queue is disconnected.
//   - A broadcast is encoded once for each serializer and node, and when
//     Broadcast returns it is in the queue of every local subscriber: whatever is
//     sent later comes later.
//   - A channel is subscribed to its topic after Join returned and before its
//     reply is sent, and unsubscribed before its end is told to the client.
package realtime
