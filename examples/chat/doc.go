// Package chat is the demonstration: rooms, a private room behind a password,
// who is online in them, in how many tabs and who of them types, a summary of a
// room that a job makes, notifications filtered by level, and the page that
// shows it all. It is what the channels guides of Phoenix build, and it uses the
// npm phoenix client as published (static/phoenix.mjs).
//
// It imports package trunkline and River only, as any application would.
// Messages are durable, who was away gets them; presence, typing, announcements
// of the command line and notifications are ephemeral. A summary reaches who
// asked for it wherever their client is by then.
//
// Invariants: a user's id comes from a verified token, never from a payload;
// what a client sends is checked before it is broadcast; the page runs no
// inline script and shows text as text.
package chat
