import { describe, expect, it } from 'vitest';
import { parseAddress, parseHost } from '../../src/protocol/address.ts';

describe('an address', () => {
  it.each([
    ['10.0.0.1:8000', '10.0.0.1', 8000, '10.0.0.1:8000'],
    ['Engine-0.engines.svc:80', 'engine-0.engines.svc', 80, 'engine-0.engines.svc:80'],
    ['localhost:65535', 'localhost', 65_535, 'localhost:65535'],
    ['engine_1:1', 'engine_1', 1, 'engine_1:1'],
    ['[2001:DB8:0:0::1]:8000', '2001:db8::1', 8000, '[2001:db8::1]:8000'],
    ['[::1]:8000', '::1', 8000, '[::1]:8000'],
    ['[fe80::1%eth0]:8000', 'fe80::1%eth0', 8000, '[fe80::1%eth0]:8000'],
  ])('%s is understood', (text, host, port, normal) => {
    expect(parseAddress(text)).toEqual({ host, port, text: normal });
  });

  it.each([
    ['10.0.0.1', /no port/],
    ['[::1]', /no port/],
    ['', /no port/],
    ['http://10.0.0.1:80', /scheme/],
    ['10.0.0.1:', /port ""/],
    ['10.0.0.1:0', /port "0"/],
    ['10.0.0.1:65536', /port "65536"/],
    ['10.0.0.1:80a', /port "80a"/],
    ['10.0.0.1:8e1', /port "8e1"/],
    ['2001:db8::1:8000', /without brackets/],
    [':8000', /host ""/],
    ['10.0.0.256:80', /host "10.0.0.256"/],
    ['10.0.1:80', /host "10.0.1"/],
    ['[10.0.0.1]:80', /host "\[10.0.0.1\]"/],
    ['a b:80', /host "a b"/],
    ['user@host:80', /host "user@host"/],
    ['host/path:80', /host "host\/path"/],
    ['-a:80', /host "-a"/],
  ])('"%s" is refused with what is wrong and what is expected', (text, problem) => {
    expect(() => parseAddress(text)).toThrow(problem);
    expect(() => parseAddress(text)).toThrow(/expected host:port/);
  });

  it('has a host that may be named alone, IPv6 with or without brackets', () => {
    expect(parseHost('[2001:db8::0:1]')).toBe('2001:db8::1');
    expect(parseHost('2001:db8::0:1')).toBe('2001:db8::1');
    expect(parseHost('Example.COM')).toBe('example.com');
    expect(parseHost('10.0.0.1:80')).toBeUndefined();
    expect(parseHost('')).toBeUndefined();
  });
});
