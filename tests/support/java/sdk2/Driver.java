// The official DAX client for Java, driven line by line: a JSON call on stdin, its outcome on stdout.
// java Driver ENDPOINT
//
// Calls and results have boto3's form; bytes are wrapped as {"$bytes": base64}. What the SDK calls
// its fields and how they nest is asked of its own model classes.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.protocol.MarshallingType;
import software.amazon.awssdk.core.traits.ListTrait;
import software.amazon.awssdk.core.traits.MapTrait;
import software.amazon.awssdk.core.util.SdkAutoConstructList;
import software.amazon.awssdk.core.util.SdkAutoConstructMap;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.TransactionCanceledException;
import software.amazon.awssdk.utils.builder.Buildable;
import software.amazon.dax.ClusterDaxClient;
import software.amazon.dax.Configuration;

public final class Driver {
  private static final String MODEL = "software.amazon.awssdk.services.dynamodb.model.";
  private static final JsonNodeFactory JSON = Lines.JSON;

  private final DynamoDbClient client;

  private static String given(String name) {
    return System.getenv().getOrDefault(name, "x");
  }

  private Driver(String endpoint) throws Exception {
    var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create(given("DRIVER_ACCESS_KEY"), given("DRIVER_SECRET_KEY")));
    var configuration =
        Configuration.builder()
            .url(endpoint)
            .region(Region.US_EAST_1)
            .credentialsProvider(credentials)
            .build();
    this.client = ClusterDaxClient.builder().overrideConfiguration(configuration).build();
  }

  public static void main(String[] arguments) throws Exception {
    Lines.serve(() -> new Driver(arguments[0])::call, Driver::describe);
  }

  private JsonNode call(String method, JsonNode params) throws Throwable {
    String operation = Character.toUpperCase(method.charAt(0)) + method.substring(1);
    Class<?> type = Class.forName(MODEL + operation + "Request");
    SdkPojo builder = (SdkPojo) type.getMethod("builder").invoke(null);
    Object request = build(builder, params);
    try {
      return encode(DynamoDbClient.class.getMethod(method, type).invoke(client, request));
    } catch (InvocationTargetException error) {
      throw error.getCause();
    }
  }

  private static Object build(SdkPojo builder, JsonNode from) {
    for (SdkField<?> field : builder.sdkFields()) {
      JsonNode value = from.get(field.locationName());
      if (value != null && !value.isNull()) {
        field.set(builder, decode(field, value));
      }
    }
    return ((Buildable) builder).build();
  }

  private static Object decode(SdkField<?> field, JsonNode value) {
    MarshallingType<?> type = field.marshallingType();
    if (type == MarshallingType.LIST) {
      SdkField<?> member = field.getTrait(ListTrait.class).memberFieldInfo();
      List<Object> found = new ArrayList<>();
      value.forEach(element -> found.add(decode(member, element)));
      return found;
    }
    if (type == MarshallingType.MAP) {
      SdkField<?> member = field.getTrait(MapTrait.class).valueFieldInfo();
      Map<String, Object> found = new LinkedHashMap<>();
      value.fields().forEachRemaining(e -> found.put(e.getKey(), decode(member, e.getValue())));
      return found;
    }
    if (type == MarshallingType.SDK_POJO) {
      return build(field.constructor().get(), value);
    }
    if (type == MarshallingType.SDK_BYTES) {
      return SdkBytes.fromByteArray(Base64.getDecoder().decode(value.get("$bytes").textValue()));
    }
    if (type == MarshallingType.INTEGER) {
      return value.intValue();
    }
    if (type == MarshallingType.BOOLEAN) {
      return value.booleanValue();
    }
    if (type == MarshallingType.STRING) {
      return value.textValue();
    }
    throw new IllegalArgumentException("no parameter of " + field.locationName() + "'s type");
  }

  private static JsonNode encode(Object value) {
    if (value == null) {
      return JSON.nullNode();
    }
    if (value instanceof SdkPojo) {
      ObjectNode found = JSON.objectNode();
      for (SdkField<?> field : ((SdkPojo) value).sdkFields()) {
        Object member = field.getValueOrDefault(value);
        // Stands for "not there".
        boolean absent = member instanceof SdkAutoConstructList || member instanceof SdkAutoConstructMap;
        if (member != null && !absent) {
          found.set(field.locationName(), encode(member));
        }
      }
      return found;
    }
    if (value instanceof SdkBytes) {
      String text = Base64.getEncoder().encodeToString(((SdkBytes) value).asByteArray());
      return JSON.objectNode().put("$bytes", text);
    }
    if (value instanceof List) {
      ArrayNode found = JSON.arrayNode();
      ((List<?>) value).forEach(element -> found.add(encode(element)));
      return found;
    }
    if (value instanceof Map) {
      ObjectNode found = JSON.objectNode();
      ((Map<?, ?>) value).forEach((name, element) -> found.set((String) name, encode(element)));
      return found;
    }
    return Lines.MAPPER.valueToTree(value);
  }

  private static ObjectNode describe(Throwable error) {
    ObjectNode found = Lines.unknown(error);
    if (error instanceof AwsServiceException) {
      AwsServiceException known = (AwsServiceException) error;
      if (known.awsErrorDetails() != null) {
        found.put("code", known.awsErrorDetails().errorCode());
        found.put("message", known.awsErrorDetails().errorMessage());
      }
      if (known.statusCode() > 0) { // -1 of errors that the client itself finds
        found.put("status", known.statusCode());
      }
    }
    if (error instanceof TransactionCanceledException) {
      found.set("reasons", encode(((TransactionCanceledException) error).cancellationReasons()));
    }
    return found;
  }
}
