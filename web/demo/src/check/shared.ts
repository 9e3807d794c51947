// The SharedWorker that the check starts: it answers each message.
interface ConnectEvent { ports: readonly MessagePort[] }

(self as unknown as { onconnect: (event: ConnectEvent) => void }).onconnect = ({ ports: [port] }) => {
  port!.onmessage = ({ data }) => port!.postMessage(data);
};
