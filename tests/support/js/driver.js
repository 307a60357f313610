// One client of a JavaScript SDK, driven line by line: a JSON call on stdin, its outcome on stdout.
// node driver.js v3|v3-document|v2|v2-document|v3-http|v3-http-document ENDPOINT; all but the last
// two speak DAX
//
// What JSON cannot hold is wrapped: {"$bytes": base64}, {"$set": [...]}, {"$big": "123"}. The
// clients' own sockets do not keep Node running; reading stdin does.
'use strict';

const readline = require('readline');

const [, , kind, endpoint] = process.argv;
const {DRIVER_ACCESS_KEY: accessKeyId = 'x', DRIVER_SECRET_KEY: secretAccessKey = 'x'} = process.env;
const sessionToken = process.env.DRIVER_SESSION_TOKEN;
const credentials = {accessKeyId, secretAccessKey, sessionToken};

function makeClient() {
  switch (kind) {
    case 'v3': {
      const {Dax} = require('@amazon-dax-sdk/client-dax');
      return new Dax({endpoints: [endpoint], region: 'us-east-1', credentials});
    }
    case 'v3-http': {
      const {DynamoDB} = require('@aws-sdk/client-dynamodb');
      return new DynamoDB({endpoint, region: 'us-east-1', credentials, maxAttempts: 1});
    }
    case 'v3-http-document': {
      const {DynamoDB} = require('@aws-sdk/client-dynamodb');
      const {DynamoDBDocument} = require('@aws-sdk/lib-dynamodb');
      const service = new DynamoDB({endpoint, region: 'us-east-1', credentials, maxAttempts: 1});
      return DynamoDBDocument.from(service);
    }
    case 'v3-document': {
      const {DaxDocument} = require('@amazon-dax-sdk/lib-dax');
      return new DaxDocument({endpoints: [endpoint], region: 'us-east-1', credentials});
    }
    case 'v2':
    case 'v2-document': {
      process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = '1';
      const AWS = require('aws-sdk');
      const AmazonDaxClient = require('amazon-dax-client');
      const service = new AmazonDaxClient({
        endpoints: [endpoint],
        region: 'us-east-1',
        credentials: new AWS.Credentials(accessKeyId, secretAccessKey, sessionToken),
      });
      return kind === 'v2' ? service : new AWS.DynamoDB.DocumentClient({service});
    }
    default:
      throw new Error(`unknown kind of client: ${kind}`);
  }
}

const client = makeClient();

function makeSet(elements) {
  return kind === 'v2-document' ? client.createSet(elements) : new Set(elements);
}

function decode(value) {
  if (Array.isArray(value)) {
    return value.map(decode);
  }
  if (value === null || typeof value !== 'object') {
    return value;
  }
  if ('$bytes' in value) {
    return Buffer.from(value.$bytes, 'base64');
  }
  if ('$set' in value) {
    return makeSet(value.$set.map(decode));
  }
  if ('$big' in value) {
    return BigInt(value.$big);
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

function encode(value) {
  if (typeof value === 'bigint') {
    return {$big: value.toString()};
  }
  if (value === null || typeof value !== 'object') {
    return value;
  }
  if (value instanceof Uint8Array) {
    return {$bytes: Buffer.from(value).toString('base64')};
  }
  if (value instanceof Set) {
    return {$set: [...value].map(encode)};
  }
  if (value.wrapperName === 'Set') {
    return {$set: value.values.map(encode)};
  }
  if (Array.isArray(value)) {
    return value.map(encode);
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([name, item]) => [name, encode(item)]));
}

function describe(error) {
  return {
    name: error.name,
    code: error.code ?? error.name,
    message: error.message,
    status: error.statusCode ?? error.$metadata?.httpStatusCode ?? null,
    // Of its own class, or a general one that the SDK takes for an error it does not know.
    class: error.constructor.name,
    item: error.Item ?? null,
    reasons: error.cancellationReasons ?? error.CancellationReasons ?? null,
  };
}

async function pages(paginate, params) {
  const found = [];
  for await (const {$metadata, ...page} of paginate({client, pageSize: 3}, params)) {
    found.push(page);
  }
  return {pages: found};
}

async function call(method, params) {
  if (method.startsWith('paginate')) {
    return pages(require('@aws-sdk/lib-dynamodb')[method], params);
  }
  const made = client[method](params);
  // v2 gives a request object, v3 a promise.
  const result = await (typeof made.promise === 'function' ? made.promise() : made);
  delete result?.$metadata; // of the SDK's own requests, not of DynamoDB's answer
  return result;
}

readline.createInterface({input: process.stdin}).on('line', async (line) => {
  const {number, method, params} = JSON.parse(line);
  let outcome;
  try {
    outcome = {result: encode((await call(method, decode(params))) ?? {})};
  } catch (error) {
    outcome = {error: encode(describe(error))};
  }
  process.stdout.write(JSON.stringify({number, ...outcome}) + '\n');
}).on('close', () => process.exit(0));
