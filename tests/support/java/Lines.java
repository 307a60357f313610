// What every driver shares: a JSON call a line on stdin, its outcome a line on stdout.
//
// Calls and results have boto3's form; bytes are wrapped as {"$bytes": base64}.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.logging.LogManager;

final class Lines {
  interface Call {
    JsonNode answer(String method, JsonNode params) throws Throwable;
  }

  interface Describe {
    ObjectNode describe(Throwable error);
  }

  interface Make {
    Call make() throws Exception;
  }

  static final JsonNodeFactory JSON = JsonNodeFactory.instance;
  static final ObjectMapper MAPPER = new ObjectMapper();

  private Lines() {}

  /** Answers until stdin ends, then ends the process: the clients' threads are no daemons. */
  static void serve(Make client, Describe describe) throws Exception {
    var out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
    System.setOut(System.err); // libraries that print must not be taken for outcomes
    LogManager.getLogManager().reset(); // the clients tell each connection that they make
    Call call = client.make();
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    ExecutorService callers = Executors.newCachedThreadPool();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode asked = MAPPER.readTree(line);
      callers.execute(
          () -> {
            ObjectNode outcome = JSON.objectNode();
            outcome.set("number", asked.get("number"));
            try {
              outcome.set("result", call.answer(asked.get("method").textValue(), asked.get("params")));
            } catch (Throwable error) {
              outcome.set("error", describe.describe(error));
            }
            synchronized (out) {
              out.println(outcome.toString());
            }
          });
    }
    Runtime.getRuntime().halt(0);
  }

  /** An error without what only a service can say of it. */
  static ObjectNode unknown(Throwable error) {
    String name = error.getClass().getSimpleName();
    ObjectNode found = JSON.objectNode().put("name", name).put("class", name);
    found.put("code", name).put("message", String.valueOf(error.getMessage()));
    return found.putNull("status").putNull("item").putNull("reasons");
  }
}
