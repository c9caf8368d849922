// What a shop's own subscriber gets to see: every event, one JSON object a line, to the file the tests read.
const fs = require("fs")

module.exports = {
  default: async function writeEvent({ event }) {
    fs.appendFileSync(process.env.EVENTS_FILE, JSON.stringify(event) + "\n")
  },
  config: { event: "*", context: { subscriberId: "write-events" } },
}
