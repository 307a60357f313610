// The official DAX client for Java's SDK v1. java Driver ENDPOINT
//
// What the SDK calls its fields and how they nest is asked of its model classes' getters and setters.
// Besides the SDK's methods there is mapperQuery, by DynamoDBMapper.
import com.amazon.dax.client.dynamodbv2.AmazonDaxClientBuilder;
import com.amazonaws.AmazonServiceException;
import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDB;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBAttribute;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBHashKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBMapper;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBMapperConfig;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBQueryExpression;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBRangeKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBTable;
import com.amazonaws.services.dynamodbv2.model.TransactionCanceledException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Driver {
  private static final String MODEL = "com.amazonaws.services.dynamodbv2.model";

  private final AmazonDynamoDB client;

  private static String given(String name) {
    return System.getenv().getOrDefault(name, "x");
  }

  private Driver(String endpoint) {
    this.client =
        AmazonDaxClientBuilder.standard()
            .withRegion("us-east-1")
            .withCredentials(new AWSStaticCredentialsProvider(new BasicAWSCredentials(given("DRIVER_ACCESS_KEY"), given("DRIVER_SECRET_KEY"))))
            .withEndpointConfiguration(endpoint)
            .build();
  }

  public static void main(String[] arguments) throws Exception {
    Lines.serve(() -> new Driver(arguments[0])::call, Driver::describe);
  }

  private JsonNode call(String method, JsonNode params) throws Throwable {
    if (method.equals("mapperQuery")) {
      return mapperQuery(params.get("TableName").textValue(), params.get("pk").textValue());
    }
    String operation = Character.toUpperCase(method.charAt(0)) + method.substring(1);
    Class<?> type = Class.forName(MODEL + "." + operation + "Request");
    try {
      return encode(AmazonDynamoDB.class.getMethod(method, type).invoke(client, decode(type, params)));
    } catch (InvocationTargetException error) {
      throw error.getCause();
    }
  }

  // Of several setters of a field the one that takes text: an enum's other one does no more.
  private static Method setter(Class<?> type, String field) {
    Method found = null;
    for (Method method : type.getDeclaredMethods()) {
      if (method.getName().equals("set" + field) && method.getParameterCount() == 1) {
        if (found == null || method.getParameterTypes()[0] == String.class) {
          found = method;
        }
      }
    }
    return found;
  }

  private static Object decode(Type type, JsonNode value) throws Exception {
    if (type instanceof ParameterizedType) {
      Type[] inner = ((ParameterizedType) type).getActualTypeArguments();
      if (inner.length == 1) {
        List<Object> found = new ArrayList<>();
        for (JsonNode element : value) {
          found.add(decode(inner[0], element));
        }
        return found;
      }
      Map<String, Object> found = new LinkedHashMap<>();
      for (var fields = value.fields(); fields.hasNext(); ) {
        var field = fields.next();
        found.put(field.getKey(), decode(inner[1], field.getValue()));
      }
      return found;
    }
    if (type == String.class) {
      return value.textValue();
    }
    if (type == Boolean.class) {
      return value.booleanValue();
    }
    if (type == Integer.class) {
      return value.intValue();
    }
    if (type == ByteBuffer.class) {
      return ByteBuffer.wrap(Base64.getDecoder().decode(value.get("$bytes").textValue()));
    }
    Class<?> model = (Class<?>) type;
    Object made = model.getConstructor().newInstance();
    for (var fields = value.fields(); fields.hasNext(); ) {
      var field = fields.next();
      Method setter = setter(model, field.getKey());
      if (setter == null) {
        throw new IllegalArgumentException(model + " has no " + field.getKey());
      }
      if (!field.getValue().isNull()) {
        setter.invoke(made, decode(setter.getGenericParameterTypes()[0], field.getValue()));
      }
    }
    return made;
  }

  private static JsonNode encode(Object value) throws Exception {
    if (value == null) {
      return Lines.JSON.nullNode();
    }
    if (value.getClass().getPackageName().equals(MODEL)) {
      ObjectNode found = Lines.JSON.objectNode();
      for (Method method : value.getClass().getDeclaredMethods()) {
        String name = method.getName();
        if (!name.startsWith("get") || method.getParameterCount() != 0) {
          continue;
        }
        String field = name.substring(3);
        Object member = method.invoke(value);
        if (member != null && setter(value.getClass(), field) != null) {
          found.set(field, encode(member));
        }
      }
      return found;
    }
    if (value instanceof ByteBuffer) {
      ByteBuffer bytes = ((ByteBuffer) value).duplicate();
      byte[] copied = new byte[bytes.remaining()];
      bytes.get(copied);
      return Lines.JSON.objectNode().put("$bytes", Base64.getEncoder().encodeToString(copied));
    }
    if (value instanceof Collection) {
      ArrayNode found = Lines.JSON.arrayNode();
      for (Object element : (Collection<?>) value) {
        found.add(encode(element));
      }
      return found;
    }
    if (value instanceof Map) {
      ObjectNode found = Lines.JSON.objectNode();
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        found.set((String) entry.getKey(), encode(entry.getValue()));
      }
      return found;
    }
    return Lines.MAPPER.valueToTree(value);
  }

  private static ObjectNode describe(Throwable error) {
    ObjectNode found = Lines.unknown(error);
    if (error instanceof AmazonServiceException) {
      AmazonServiceException known = (AmazonServiceException) error;
      if (known.getErrorCode() != null) {
        found.put("code", known.getErrorCode());
      }
      found.put("message", known.getErrorMessage());
      if (known.getStatusCode() > 0) {
        found.put("status", known.getStatusCode());
      }
    }
    if (error instanceof TransactionCanceledException) {
      try {
        found.set("reasons", encode(((TransactionCanceledException) error).getCancellationReasons()));
      } catch (Exception unforeseen) {
        throw new IllegalStateException(unforeseen);
      }
    }
    return found;
  }

  /** A row of a table with an integer sort key. */
  @DynamoDBTable(tableName = "named by each call")
  public static final class Row {
    private String pk;
    private Integer sk;
    private Long v;

    @DynamoDBHashKey
    public String getPk() {
      return pk;
    }

    public void setPk(String pk) {
      this.pk = pk;
    }

    @DynamoDBRangeKey
    public Integer getSk() {
      return sk;
    }

    public void setSk(Integer sk) {
      this.sk = sk;
    }

    @DynamoDBAttribute
    public Long getV() {
      return v;
    }

    public void setV(Long v) {
      this.v = v;
    }
  }

  private JsonNode mapperQuery(String table, String partition) {
    var mapper = new DynamoDBMapper(client, new DynamoDBMapperConfig(
        new DynamoDBMapperConfig.TableNameOverride(table)));
    var wanted = new Row();
    wanted.setPk(partition);
    ArrayNode rows = Lines.JSON.arrayNode();
    // A limit of one item makes every key but the last go back as a start key.
    var query = new DynamoDBQueryExpression<Row>().withHashKeyValues(wanted).withLimit(1);
    for (Row row : mapper.query(Row.class, query)) {
      rows.add(Lines.JSON.objectNode().put("pk", row.getPk()).put("sk", row.getSk()).put("v", row.getV()));
    }
    return Lines.JSON.objectNode().set("Rows", rows);
  }
}
