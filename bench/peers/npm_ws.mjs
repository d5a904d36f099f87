// npm `ws`.
import readline from "node:readline";
import { WebSocketServer } from "ws";

const body = `{"event":"posted","data":{"post":"${"x".repeat(753)}"}`;
const same = Buffer.from(`${body},"seq":123}`);
const numbers = new Map();

function numbered(client) {
  const seq = numbers.get(client) ?? 0;
  numbers.set(client, seq + 1);
  return `${body},"seq":${seq}}`;
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 1024 }, () => {
  console.log(server.address().port);
  readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => {
      const [count, withNumber] = line.split(" ").map(Number);
      for (let sent = 0; sent < count; sent++) {
        for (const client of server.clients) client.send(withNumber ? numbered(client) : same, { binary: false });
      }
    })
    .on("close", () => process.exit());
});
