// The broker: a SharedWorker that carries MessagePorts from tabs to the worker
// that leads their database, since only it can reach both. It keeps one port a
// database and nothing else, and knows no version but its own: this file is
// meant never to change, so that tabs of old and new builds share one broker.
// Where they do not, a tab asks the leader over a BroadcastChannel instead.
//
//   page -> broker    {t: "register", name, leader} + port   here is a way to that leader
//                     {t: "connect", name, leader, tab} + port
//   broker -> leader  {t: "connect", tab} + port             on the registered port
//   broker -> page    {t: "none", name, leader}              that leader is not registered here

import type { FromBroker, FromRegistry } from "../shared/messages.js";
import { takeToBroker } from "../shared/message-shapes.js";

const leaders = new Map<string, { leader: string; port: MessagePort }>();

addEventListener("connect", (event) => {
  const page = (event as MessageEvent).ports[0]!;
  page.onmessage = ({ data: received, ports }: MessageEvent<unknown>) => {
    const data = takeToBroker(received);
    const port = ports[0];
    if (!data || !port) return;
    if (data.t === "register") {
      leaders.get(data.name)?.port.close();
      leaders.set(data.name, { leader: data.leader, port });
    } else if (data.t === "connect") {
      const known = leaders.get(data.name);
      if (known && known.leader === data.leader) {
        known.port.postMessage({ t: "connect", tab: data.tab } satisfies FromRegistry, [port]);
      } else {
        page.postMessage({ t: "none", name: data.name, leader: data.leader } satisfies FromBroker);
      }
    }
  };
});
