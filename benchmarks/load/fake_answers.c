/* What the fake DynamoDB answers: every item is there, whatever its key, and nothing is kept.
 *
 * The table's name says all else. Its digits are the length of the attribute v of each item, a
 * string of x; a name that begins with r has the keys id (S) and n (N), any other id (S) alone.
 * A Query finds ten items of an r table and one of any other. ReturnValues is heeded, projections,
 * filters and conditions are not. */
#include "load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_ITEMS = 10, DEPTH_MAX = 64 };

typedef struct {
    const char *at, *end;
} Text;

/* -- JSON: no more than finds a member and copies a value ------------------------------------- */

static void skip_space(Text *text) {
    while (text->at < text->end && isspace((unsigned char)*text->at)) text->at++;
}

static bool take(Text *text, char wanted) {
    skip_space(text);
    if (text->at == text->end || *text->at != wanted) return false;
    text->at++;
    return true;
}

static bool skip_string(Text *text) {
    if (!take(text, '"')) return false;
    for (; text->at < text->end; text->at++) {
        if (*text->at == '"') return text->at++, true;
        if (*text->at == '\\') text->at++;
    }
    return false;
}

static bool skip_value(Text *text, int depth) {
    skip_space(text);
    if (text->at == text->end || depth > DEPTH_MAX) return false;
    char open = *text->at, close = open == '{' ? '}' : ']';
    if (open == '"') return skip_string(text);
    if (open != '{' && open != '[') {
        const char *from = text->at;
        while (text->at < text->end && (isalnum((unsigned char)*text->at) || strchr("+-.", *text->at)))
            text->at++;
        return text->at > from;
    }
    text->at++;
    if (take(text, close)) return true;
    do {
        if (open == '{' && (!skip_string(text) || !take(text, ':'))) return false;
        if (!skip_value(text, depth + 1)) return false;
    } while (take(text, ','));
    return take(text, close);
}

/* The next member of an object: ``text`` stands behind its brace or behind the last member. */
static bool next_member(Text *text, Text *name, Text *value) {
    take(text, ',');
    skip_space(text);
    name->at = text->at + 1;
    if (!skip_string(text)) return false;
    name->end = text->at - 1;
    if (!take(text, ':')) return false;
    skip_space(text);
    value->at = text->at;
    if (!skip_value(text, 0)) return false;
    value->end = text->at;
    return true;
}

static bool next_element(Text *text, Text *value) {
    take(text, ',');
    skip_space(text);
    value->at = text->at;
    if (text->at == text->end || *text->at == ']' || !skip_value(text, 0)) return false;
    value->end = text->at;
    return true;
}

static bool is(Text text, const char *word) {
    return (size_t)(text.end - text.at) == strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

static bool find(Text object, const char *wanted, Text *value) {
    Text name;
    if (!take(&object, '{')) return false;
    while (next_member(&object, &name, value))
        if (is(name, wanted)) return true;
    return false;
}

/* Without its quotes, as it is written. */
static bool find_string(Text object, const char *wanted, Text *value) {
    if (!find(object, wanted, value) || value->end - value->at < 2 || *value->at != '"') return false;
    value->at++;
    value->end--;
    return true;
}

/* -- items ------------------------------------------------------------------------------------ */

static void add(Buffer *to, Text text) { buffer_add(to, text.at, (size_t)(text.end - text.at)); }

static void add_value(Buffer *to, Text table) {
    size_t length = 0;
    for (const char *c = table.at; c < table.end; c++)
        if (isdigit((unsigned char)*c) && length < 400 * 1024) length = length * 10 + (size_t)(*c - '0');
    buffer_text(to, "\"v\":{\"S\":\"");
    buffer_reserve(to, length);
    memset(to->data + to->length, 'x', length);
    to->length += length;
    buffer_text(to, "\"}");
}

/* The attributes of ``key``, an object, and v. */
static bool add_item(Buffer *to, Text key, Text table) {
    if (key.end - key.at < 2 || *key.at != '{') return false;
    key.end--;
    add(to, key);
    buffer_text(to, ",");
    add_value(to, table);
    buffer_text(to, "}");
    return true;
}

static bool get_item(Text body, Text table, Buffer *to) {
    Text key;
    if (!find(body, "Key", &key)) return false;
    buffer_text(to, "{\"Item\":");
    bool good = add_item(to, key, table);
    buffer_text(to, "}");
    return good;
}

static bool put_item(Text body, Buffer *to) {
    Text item, returned;
    if (!find(body, "Item", &item)) return false;
    bool old = find_string(body, "ReturnValues", &returned) && is(returned, "ALL_OLD");
    if (old) buffer_text(to, "{\"Attributes\":"), add(to, item), buffer_text(to, "}");
    else buffer_text(to, "{}");
    return true;
}

static bool change_item(Text body, Text table, Buffer *to) {
    Text key, returned;
    if (!find(body, "Key", &key)) return false;
    if (!find_string(body, "ReturnValues", &returned) || is(returned, "NONE")) {
        buffer_text(to, "{}");
        return true;
    }
    bool good = true;
    buffer_text(to, "{\"Attributes\":");
    if (is(returned, "ALL_OLD") || is(returned, "ALL_NEW")) good = add_item(to, key, table);
    else buffer_text(to, "{"), add_value(to, table), buffer_text(to, "}");
    buffer_text(to, "}");
    return good;
}

/* The first string value of the object's members, each of the form {"S": "…"}. */
static bool first_string(Text values, Text *found) {
    Text name, value;
    if (!take(&values, '{')) return false;
    while (next_member(&values, &name, &value))
        if (find_string(value, "S", found)) return true;
    return false;
}

static bool query(Text body, Text table, Buffer *to) {
    Text values, id, limit;
    if (!find(body, "ExpressionAttributeValues", &values) || !first_string(values, &id)) return false;
    int count = *table.at == 'r' ? PAGE_ITEMS : 1;
    if (find(body, "Limit", &limit) && atoi(limit.at) < count) count = atoi(limit.at);
    buffer_text(to, "{\"Items\":[");
    for (int i = 0; i < count; i++) {
        buffer_text(to, i ? ",{\"id\":{\"S\":\"" : "{\"id\":{\"S\":\"");
        add(to, id);
        buffer_text(to, "\"},");
        if (*table.at == 'r') buffer_format(to, "\"n\":{\"N\":\"%d\"},", i);
        add_value(to, table);
        buffer_text(to, "}");
    }
    buffer_format(to, "],\"Count\":%d,\"ScannedCount\":%d}", count, count);
    return true;
}

static bool batch_get(Text body, Buffer *to) {
    Text tables, name, asked, keys, key;
    if (!find(body, "RequestItems", &tables) || !take(&tables, '{')) return false;
    buffer_text(to, "{\"Responses\":{");
    for (int table = 0; next_member(&tables, &name, &asked); table++) {
        if (!find(asked, "Keys", &keys) || !take(&keys, '[')) return false;
        buffer_text(to, table ? ",\"" : "\"");
        add(to, name);
        buffer_text(to, "\":[");
        for (int i = 0; next_element(&keys, &key); i++) {
            if (i) buffer_text(to, ",");
            if (!add_item(to, key, name)) return false;
        }
        buffer_text(to, "]");
    }
    buffer_text(to, "},\"UnprocessedKeys\":{}}");
    return true;
}

static void describe(Text table, Buffer *to) {
    bool range = *table.at == 'r';
    buffer_text(to, "{\"Table\":{\"TableName\":\"");
    add(to, table);
    buffer_text(to, "\",\"TableArn\":\"arn:aws:dynamodb:us-east-1:000000000000:table/");
    add(to, table);
    buffer_text(to, "\",\"TableId\":\"00000000-0000-4000-8000-");
    uint64_t hash = 14695981039346656037u; /* FNV-1a: one name, one id */
    for (const char *c = table.at; c < table.end; c++) hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    buffer_format(to, "%012llx", (unsigned long long)(hash & 0xffffffffffffu));
    buffer_text(to, "\",\"TableStatus\":\"ACTIVE\",\"CreationDateTime\":1767225600.0,\"ItemCount\":0,"
                    "\"TableSizeBytes\":0,\"BillingModeSummary\":{\"BillingMode\":\"PAY_PER_REQUEST\"},"
                    "\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}");
    if (range) buffer_text(to, ",{\"AttributeName\":\"n\",\"KeyType\":\"RANGE\"}");
    buffer_text(to, "],\"AttributeDefinitions\":[{\"AttributeName\":\"id\",\"AttributeType\":\"S\"}");
    if (range) buffer_text(to, ",{\"AttributeName\":\"n\",\"AttributeType\":\"N\"}");
    buffer_text(to, "]}}");
}

static int error(Buffer *to, const char *name, const char *message) {
    to->length = 0;
    buffer_format(to, "{\"__type\":\"com.amazonaws.dynamodb.v20120810#%s\",\"message\":\"%s\"}", name,
                  message);
    return 400;
}

int fake_answer(const char *operation, const char *data, size_t size, Buffer *to) {
    Text body = {data, data + size}, table = {"", ""}, whole = body;
    to->length = 0;
    if (!skip_value(&whole, 0) || *body.at != '{')
        return error(to, "SerializationException", "the body is no JSON object");
    bool batch = strncmp(operation, "Batch", 5) == 0, list = strcmp(operation, "ListTables") == 0;
    if (!batch && !list && (!find_string(body, "TableName", &table) || table.at == table.end))
        return error(to, "ValidationException", "TableName is missing");
    bool good = true;
    if (strcmp(operation, "GetItem") == 0) good = get_item(body, table, to);
    else if (strcmp(operation, "PutItem") == 0) good = put_item(body, to);
    else if (strcmp(operation, "UpdateItem") == 0 || strcmp(operation, "DeleteItem") == 0)
        good = change_item(body, table, to);
    else if (strcmp(operation, "Query") == 0) good = query(body, table, to);
    else if (strcmp(operation, "BatchGetItem") == 0) good = batch_get(body, to);
    else if (strcmp(operation, "BatchWriteItem") == 0) buffer_text(to, "{\"UnprocessedItems\":{}}");
    else if (strcmp(operation, "DescribeTable") == 0) describe(table, to);
    else if (list) buffer_text(to, "{\"TableNames\":[]}");
    else return error(to, "UnknownOperationException", "the fake has no such operation");
    return good ? 200 : error(to, "ValidationException", "a parameter is missing");
}
