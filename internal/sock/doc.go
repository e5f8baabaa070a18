// Package sock is one WebSocket connection, many times: it upgrades a request,
// reads whole messages, and sends ready-made frames without ever blocking the
// sender. It knows nothing of what the messages mean and imports
// internal/worker only.
//
// github.com/coder/websocket does the handshake, frame reading, masks, control
// frames and protocol errors. It gets our own net.Conn ([libConn]) through our
// own http.Hijacker, so that every byte it reads or writes passes through here.
// Data frames never go through the library: a server's frames are not masked,
// so one frame serves all receivers.
//
// # Who runs what
//
//   - An idle connection is one goroutine with a shallow stack, parked in
//     RawConn.Read. It owns no read buffer.
//   - When bytes have come, a worker of the [Pool] decodes them and calls the
//     handler; meanwhile the parked goroutine waits for its turn. One worker at
//     a time for a connection keeps the order.
//   - Whoever sends writes inline, without waiting. Only what the kernel does
//     not take is queued, and a flusher goroutine exists until the queue is
//     empty.
//   - What is posted ([Conn.Post]) waits in the queue for its [Batch], which one
//     of a few writers of the Pool writes, or for the next Send.
//   - Run of the Pool sweeps over all connections for idle, stall and close
//     deadlines. No connection has a timer or a context.
//   - Connections that are no *net.TCPConn (TLS, pipes) take a plainer path: one
//     goroutine that reads and handles, and the flusher for every write.
//
// # Invariants
//
//   - At most one goroutine writes to the network at a time: the one that set
//     Conn.writing. A non-empty queue implies writing, or batched.
//   - Nothing is sent after a Close frame.
//   - The inbound part of a Conn belongs to the goroutine whose turn it is.
//   - Handler calls never overlap; HandleClose is the last, and comes once.
//   - net.Conn.Close is never called while holding Conn.mu or within a RawConn
//     callback: it waits for those.
//   - Every goroutine is counted in Pool.wg, and Run waits for it.
package sock
