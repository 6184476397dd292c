import { z } from 'zod';

export const port = (usual: number, what: string) => z.int().min(0).max(65535).default(usual).describe(what);
export const milliseconds = (usual: number, what: string) =>
  z.number().positive().default(usual).describe(what);
export const count = (usual: number, what: string) => z.int().positive().default(usual).describe(what);
export const host = (usual: string) => z.string().min(1).default(usual).describe('Address to listen on.');
