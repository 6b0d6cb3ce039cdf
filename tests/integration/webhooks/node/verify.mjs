// Verifies messages as a consumer would: cases on standard input, as JSON, an answer for each on standard output.
// Run by tests/integration/webhooks/test_node_verifier.py; the argument is the folder that holds node_modules.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const { Webhook } = createRequire(`${process.argv[2]}/`)("standardwebhooks");

function verified({ secret, headers, body }) {
  try {
    return JSON.stringify(new Webhook(secret).verify(Buffer.from(body, "base64"), headers));
  } catch (error) {
    return error.constructor.name;
  }
}

console.log(JSON.stringify(JSON.parse(await text(process.stdin)).map(verified)));
