import type { OutputBlock } from './output-blocks.ts';

/** An item of `output`. Its id follows from the response's, so that all events of a stream agree. */
export function outputItem(responseId: string, block: OutputBlock, status: string) {
  const id = (prefix: string) => `${prefix}_${responseId.replace(/^resp_/, '')}-${block.index}`;
  const part = outputPart(block);
  switch (block.kind) {
    case 'content':
      return { id: id('msg'), type: 'message', status, role: 'assistant', content: part?.text ? [part] : [] };
    case 'reasoning':
      return { id: id('rs'), type: 'reasoning', status, summary: [], content: part?.text ? [part] : [] };
    case 'call': {
      const { callId, name, text } = block;
      return { id: id('fc'), type: 'function_call', status, call_id: callId, name, arguments: text };
    }
  }
}

/** The text inside an item; calls have none. */
export function outputPart({ kind, text }: OutputBlock) {
  switch (kind) {
    case 'content':
      return { type: 'output_text', text, annotations: [], logprobs: [] };
    case 'reasoning':
      return { type: 'reasoning_text', text };
    case 'call':
      return undefined;
  }
}
