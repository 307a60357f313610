// The Enhanced client of SDK v2. java Driver ENDPOINT: dax:// through the DAX client, http:// straight.
//
// Its own methods, with rows as JSON objects: {"pk": "a", "sk": 10, "v": 1.5, ...}.
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.Set;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbEnhancedClient;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.enhanced.dynamodb.Expression;
import software.amazon.awssdk.enhanced.dynamodb.Key;
import software.amazon.awssdk.enhanced.dynamodb.TableSchema;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbBean;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbPartitionKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSecondaryPartitionKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSecondarySortKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSortKey;
import software.amazon.awssdk.enhanced.dynamodb.model.BatchGetItemEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.BatchWriteItemEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.Page;
import software.amazon.awssdk.enhanced.dynamodb.model.PutItemEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.QueryConditional;
import software.amazon.awssdk.enhanced.dynamodb.model.QueryEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.ReadBatch;
import software.amazon.awssdk.enhanced.dynamodb.model.ScanEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.TransactGetItemsEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.TransactWriteItemsEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.UpdateItemEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.WriteBatch;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.dax.ClusterDaxClient;
import software.amazon.dax.Configuration;

public final class Driver {
  private static final ObjectMapper ROWS =
      new ObjectMapper()
          .setSerializationInclusion(JsonInclude.Include.NON_NULL)
          .enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS);
  private static final TableSchema<Row> SCHEMA = TableSchema.fromBean(Row.class);

  private final DynamoDbEnhancedClient client;

  private static String given(String name) {
    return System.getenv().getOrDefault(name, "x");
  }

  private Driver(String endpoint) throws Exception {
    var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create(given("DRIVER_ACCESS_KEY"), given("DRIVER_SECRET_KEY")));
    DynamoDbClient below;
    if (endpoint.startsWith("dax")) {
      var configuration =
          Configuration.builder().url(endpoint).region(Region.US_EAST_1).credentialsProvider(credentials).build();
      below = ClusterDaxClient.builder().overrideConfiguration(configuration).build();
    } else {
      below =
          DynamoDbClient.builder()
              .endpointOverride(URI.create(endpoint))
              .region(Region.US_EAST_1)
              .credentialsProvider(credentials)
              .build();
    }
    this.client = DynamoDbEnhancedClient.builder().dynamoDbClient(below).build();
  }

  public static void main(String[] arguments) throws Exception {
    Lines.serve(() -> new Driver(arguments[0])::call, Driver::describe);
  }

  private JsonNode call(String method, JsonNode asked) throws Exception {
    DynamoDbTable<Row> table = client.table(asked.get("table").textValue(), SCHEMA);
    switch (method) {
      case "put":
        table.putItem(row(asked.get("row")));
        return Lines.JSON.objectNode();
      case "putUnlessThere":
        var fresh = Expression.builder().expression("attribute_not_exists(pk)").build();
        table.putItem(
            PutItemEnhancedRequest.builder(Row.class).item(row(asked.get("row"))).conditionExpression(fresh).build());
        return Lines.JSON.objectNode();
      case "get":
        return shown(table.getItem(r -> r.key(key(asked)).consistentRead(asked.path("consistent").booleanValue())));
      case "update":
        return shown(
            table.updateItem(
                UpdateItemEnhancedRequest.builder(Row.class)
                    .item(row(asked.get("row")))
                    .ignoreNulls(asked.path("ignoreNulls").booleanValue())
                    .build()));
      case "delete":
        return shown(table.deleteItem(key(asked)));
      case "query":
        return pages(table.query(query(asked)));
      case "queryIndex":
        return pages(table.index(asked.get("index").textValue()).query(query(asked)));
      case "scan":
        return pages(table.scan(ScanEnhancedRequest.builder().limit(limit(asked)).build()));
      case "batchGet":
        return batchGet(table, asked);
      case "batchWrite":
        return batchWrite(table, asked);
      case "transactGet":
        return transactGet(table, asked);
      case "transactWrite":
        transactWrite(table, asked);
        return Lines.JSON.objectNode();
      default:
        throw new IllegalArgumentException(method);
    }
  }

  private static QueryEnhancedRequest query(JsonNode asked) {
    String partition = asked.get("pk").textValue();
    QueryConditional condition;
    if (asked.has("from")) {
      condition =
          QueryConditional.sortBetween(
              Key.builder().partitionValue(partition).sortValue(asked.get("from").intValue()).build(),
              Key.builder().partitionValue(partition).sortValue(asked.get("to").intValue()).build());
    } else {
      condition = QueryConditional.keyEqualTo(Key.builder().partitionValue(partition).build());
    }
    var made = QueryEnhancedRequest.builder().queryConditional(condition).limit(limit(asked));
    if (asked.has("forward")) {
      made.scanIndexForward(asked.get("forward").booleanValue());
    }
    if (asked.has("least")) {
      made.filterExpression(
          Expression.builder()
              .expression("#v >= :least")
              .expressionNames(Map.of("#v", "v"))
              .expressionValues(Map.of(":least", AttributeValue.builder().n(asked.get("least").asText()).build()))
              .build());
    }
    if (asked.has("attributes")) {
      made.attributesToProject("pk", "sk", "v");
    }
    return made.build();
  }

  private static Integer limit(JsonNode asked) {
    return asked.has("limit") ? asked.get("limit").intValue() : null;
  }

  private JsonNode batchGet(DynamoDbTable<Row> table, JsonNode asked) {
    var batch = ReadBatch.builder(Row.class).mappedTableResource(table);
    asked.get("keys").forEach(key -> batch.addGetItem(key(key)));
    var pages = client.batchGetItem(BatchGetItemEnhancedRequest.builder().readBatches(batch.build()).build());
    ArrayNode rows = Lines.JSON.arrayNode();
    pages.resultsForTable(table).forEach(row -> rows.add(shown(row)));
    return Lines.JSON.objectNode().set("rows", rows);
  }

  private JsonNode batchWrite(DynamoDbTable<Row> table, JsonNode asked) {
    var batch = WriteBatch.builder(Row.class).mappedTableResource(table);
    asked.get("rows").forEach(row -> batch.addPutItem(row(row)));
    asked.get("keys").forEach(key -> batch.addDeleteItem(key(key)));
    var done =
        client.batchWriteItem(BatchWriteItemEnhancedRequest.builder().writeBatches(batch.build()).build());
    return Lines.JSON.objectNode().put("unprocessed", done.unprocessedPutItemsForTable(table).size());
  }

  private JsonNode transactGet(DynamoDbTable<Row> table, JsonNode asked) {
    var made = TransactGetItemsEnhancedRequest.builder();
    asked.get("keys").forEach(key -> made.addGetItem(table, key(key)));
    ArrayNode rows = Lines.JSON.arrayNode();
    client.transactGetItems(made.build()).forEach(document -> rows.add(shown(document.getItem(table))));
    return Lines.JSON.objectNode().set("rows", rows);
  }

  private void transactWrite(DynamoDbTable<Row> table, JsonNode asked) {
    var made = TransactWriteItemsEnhancedRequest.builder();
    asked.get("rows").forEach(row -> made.addPutItem(table, row(row)));
    asked.get("keys").forEach(key -> made.addDeleteItem(table, key(key)));
    client.transactWriteItems(made.build());
  }

  private static Key key(JsonNode asked) {
    return Key.builder().partitionValue(asked.get("pk").textValue()).sortValue(asked.get("sk").intValue()).build();
  }

  private static Row row(JsonNode given) {
    return ROWS.convertValue(given, Row.class);
  }

  private static JsonNode shown(Row row) {
    return row == null ? Lines.JSON.nullNode() : ROWS.valueToTree(row);
  }

  private static JsonNode pages(Iterable<Page<Row>> found) {
    ArrayNode pages = Lines.JSON.arrayNode();
    for (Page<Row> page : found) {
      ArrayNode rows = pages.addArray();
      page.items().forEach(row -> rows.add(shown(row)));
    }
    return Lines.JSON.objectNode().set("pages", pages);
  }

  private static ObjectNode describe(Throwable error) {
    ObjectNode found = Lines.unknown(error);
    if (error instanceof AwsServiceException && ((AwsServiceException) error).awsErrorDetails() != null) {
      found.put("code", ((AwsServiceException) error).awsErrorDetails().errorCode());
    }
    return found;
  }

  /** An item with an integer sort key, as beans have it, and an index with one. */
  @DynamoDbBean
  public static final class Row {
    private String pk;
    private Integer sk;
    private String g;
    private BigDecimal v;
    private Long n;
    private Boolean flag;
    private Set<Integer> numbers;
    private List<String> list;
    private Map<String, Integer> map;

    @DynamoDbPartitionKey
    public String getPk() {
      return pk;
    }

    public void setPk(String pk) {
      this.pk = pk;
    }

    @DynamoDbSortKey
    @DynamoDbSecondarySortKey(indexNames = "global")
    public Integer getSk() {
      return sk;
    }

    public void setSk(Integer sk) {
      this.sk = sk;
    }

    @DynamoDbSecondaryPartitionKey(indexNames = "global")
    public String getG() {
      return g;
    }

    public void setG(String g) {
      this.g = g;
    }

    public BigDecimal getV() {
      return v;
    }

    public void setV(BigDecimal v) {
      this.v = v;
    }

    public Long getN() {
      return n;
    }

    public void setN(Long n) {
      this.n = n;
    }

    public Boolean getFlag() {
      return flag;
    }

    public void setFlag(Boolean flag) {
      this.flag = flag;
    }

    public Set<Integer> getNumbers() {
      return numbers;
    }

    public void setNumbers(Set<Integer> numbers) {
      this.numbers = numbers;
    }

    public List<String> getList() {
      return list;
    }

    public void setList(List<String> list) {
      this.list = list;
    }

    public Map<String, Integer> getMap() {
      return map;
    }

    public void setMap(Map<String, Integer> map) {
      this.map = map;
    }
  }
}
