// The page: who is here, the connection, and the room in view.
import { LongPoll, Socket } from "/phoenix.mjs"
import { showAvatar } from "/avatar.js"
import { Composer } from "/composer.js"
import { askPassword, confirmDelete } from "/dialogs.js"
import { Notifications } from "/notifications.js"
import { PeopleList } from "/people_list.js"
import { Room } from "/room.js"
import { RoomList } from "/room_list.js"
import { forgetName, requestToken, signIn } from "/session.js"
import { SummaryPanel } from "/summary_panel.js"

const $ = id => document.getElementById(id)
const query = new URLSearchParams(location.search)

const session = await signIn()
$("me").hidden = false
$("me-name").textContent = session.userID
showAvatar($("me-avatar"), session.userID)
$("change-name").addEventListener("click", forgetName)

function showConnection(state, text) {
  $("connection").dataset.state = state
  $("connection").textContent = text
}

const socket = new Socket("/socket", {
  authToken: () => session.token,
  // ?transport=longpoll tries what networks without WebSockets would use.
  transport: query.get("transport") === "longpoll" ? LongPoll : undefined,
  reconnectAfterMs: attempt => {
    showConnection("reconnecting", `Reconnecting, attempt ${attempt}`)
    return [10, 50, 100, 250, 500, 1000, 2000][attempt - 1] ?? 5000
  },
})
socket.onOpen(() => showConnection("open", "Connected"))
// A token that the server no longer takes must not lock the page out for ever.
socket.onError(async () => {
  try {
    session.token = (await requestToken(session.userID)).token
  } catch {
    // The server is away: the next attempt finds out.
  }
})

const rooms = [
  { topic: "room:lobby", name: "Lobby", about: "Open to everybody." },
  { topic: "room:private:den", name: "Den", about: "A private room, for those who know the password.", locked: true },
].map(about => new Room(socket, session.userID, { ...about, confirmDelete }))

let current = null
const composer = new Composer($("composer"), { input: $("body"), button: $("send"), error: $("body-error") })
const list = new RoomList($("rooms"), rooms, open)
const people = new PeopleList({ details: $("people"), list: $("people-list"), count: $("people-count"), news: $("people-news") })
const summary = new SummaryPanel({
  button: $("summarise"), panel: $("summary"), close: $("summary-close"),
  title: $("summary-title"), body: $("summary-body"), news: $("summary-news"),
})

function render() {
  list.render(current)
  if (!current) return
  for (const room of rooms) room.log.element.hidden = room !== current
  $("room-name").textContent = current.name
  $("room-about").textContent = current.about
  $("leave").hidden = !current.locked
  $("typing").textContent = current.people.typingText()
  people.render(current)
  $("newest").hidden = current.log.atEnd
  $("newest").textContent = current.unread.count ? `${current.unread.count} new` : "Newest"
  composer.use(current)
  summary.render(current) // last: it takes room from the log, which then keeps its end
}

for (const room of rooms) {
  $("logs").append(room.log.element)
  room.onChange = render
  room.people.onNews = (user, what) => room === current && people.announce(`${user} has ${what}.`)
}

function showVisible() {
  for (const room of rooms) room.show(room === current && document.visibilityState === "visible")
}
document.addEventListener("visibilitychange", showVisible)
$("newest").addEventListener("click", () => current.log.scrollToEnd())

function show(room) {
  current = room
  render()
  room.log.scrollToEnd()
  showVisible()
}

async function open(room) {
  if (!room.entered) {
    if (room.locked) {
      if (!await askPassword(room)) return
    } else {
      room.join({}).catch(refusal => room.log.note(`You may not enter: ${refusal}.`))
    }
  }
  show(room)
  $("body").focus()
}

$("leave").addEventListener("click", () => {
  current.leave()
  open(rooms[0])
})

new Notifications(socket, session.userID, {
  details: $("notifications"), levels: $("levels"), list: $("notification-list"),
  hint: $("notification-hint"), unread: $("notifications-unread"),
})

socket.connect()
open(rooms[0])
