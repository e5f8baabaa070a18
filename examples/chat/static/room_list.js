// The buttons that lead to the rooms.

export class RoomList {
  #buttons = new Map()

  constructor(element, rooms, open) {
    for (const room of rooms) {
      const button = document.createElement("button")
      button.type = "button"
      button.className = "room"
      const name = document.createElement("span")
      name.textContent = room.name
      const badge = document.createElement("span")
      badge.className = "badge"
      button.append(name, badge)
      button.addEventListener("click", () => open(room))
      const item = document.createElement("li")
      item.append(button)
      element.append(item)
      this.#buttons.set(room, { button, badge })
    }
  }

  render(current) {
    for (const [room, { button, badge }] of this.#buttons) {
      button.dataset.locked = room.locked && !room.entered
      button.ariaCurrent = room === current ? "true" : null
      const unread = room.unread.count
      badge.hidden = unread === 0
      badge.textContent = unread > 99 ? "99+" : unread
      button.ariaLabel = room.name + (room.locked ? ", private" : "") + (unread ? `, ${unread} unread` : "")
    }
  }
}
