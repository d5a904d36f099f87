// npm `ws`.
import readline from "node:readline";
import { WebSocketServer } from "ws";

const text = `{"event":"posted","data":{"post":"${"x".repeat(755)}"},"seq":123}`;
const event = Buffer.from(text);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 1024 }, () => {
  console.log(server.address().port);
  readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => {
      for (let count = Number(line); count > 0; count--) {
        for (const client of server.clients) client.send(event, { binary: false });
      }
    })
    .on("close", () => process.exit());
});
