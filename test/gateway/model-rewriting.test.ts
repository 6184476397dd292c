import { describe, expect, it } from 'vitest';
import { answerWith } from '../support/fake-engine.ts';
import { chatBody, post, startGateway } from '../support/gateway-fixture.ts';

const rewriteModel = (model: string | undefined) => (model === 'fake-model' ? 'the-real-one' : undefined);
const path = '/v1/chat/completions';

describe('a gateway that rewrites models', () => {
  it('changes the name on the way there, and back in the answer', async () => {
    const { url, engine, picker } = await startGateway({ rules: () => ({ rewriteModel }) });
    const answer = '{"id":1,"model":"the-real-one","text":"\\"model\\":\\"the-real-one\\""}';
    engine.behave(answerWith(200, answer));
    const response = await post(`${url}${path}`, chatBody, { 'x-gateway-model-name-rewrite': 'fake-model' });
    expect(await response.text()).toBe(answer.replace('the-real-one', 'fake-model'));
    expect(engine.requests[0]?.body.toString()).toBe(chatBody.replace('fake-model', 'the-real-one'));
    expect(engine.requests[0]?.headers['x-gateway-model-name-rewrite']).toBeUndefined();
    expect(picker.requests[0]?.model).toBe('the-real-one');
  });

  it('names why a request was dropped', async () => {
    const { url, picker } = await startGateway();
    picker.pickWith(async () => {
      const { ServiceError } = await import('../../src/protocol/errors.ts');
      throw new ServiceError('no_endpoints', 'None.');
    });
    const response = await post(`${url}${path}`, chatBody);
    expect(response.status).toBe(503);
    expect(response.headers.get('x-llm-d-request-dropped-reason')).toBe('rejected-no-endpoints');
    expect(response.headers.get('retry-after')).toBe('1');
  });
});
