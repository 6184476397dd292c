import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Knows which connections of a server carry a request. */
export interface Connections {
  /** Ends those without a request now, and the others as soon as their answer is complete. */
  drain(): void;
}

/**
 * Node closes idle connections only if they had a request before, and only at the moment of asking; a client
 * that connected ahead of time, or keeps its connection alive, would hold a closing server up.
 */
export function trackConnections(server: Server, hasTls = false): Connections {
  const requests = new Map<Socket, number>();
  let isDraining = false;
  // With TLS requests come on a socket around the one that was accepted.
  server.on(hasTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    requests.set(socket, 0);
    socket.once('close', () => requests.delete(socket));
  });
  server.on('request', (request, response) => {
    const { socket } = request;
    requests.set(socket, (requests.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (requests.get(socket) ?? 1) - 1;
      requests.set(socket, left);
      if (isDraining && left === 0) socket.destroySoon();
      if (socket.destroyed) requests.delete(socket);
    });
  });
  return {
    drain: () => {
      isDraining = true;
      for (const [socket, count] of requests) if (count === 0) socket.destroySoon();
    },
  };
}
