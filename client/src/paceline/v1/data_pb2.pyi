from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReturnValues(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_VALUES_UNSPECIFIED: _ClassVar[ReturnValues]
    RETURN_VALUES_NONE: _ClassVar[ReturnValues]
    RETURN_VALUES_ALL_OLD: _ClassVar[ReturnValues]
    RETURN_VALUES_UPDATED_OLD: _ClassVar[ReturnValues]
    RETURN_VALUES_ALL_NEW: _ClassVar[ReturnValues]
    RETURN_VALUES_UPDATED_NEW: _ClassVar[ReturnValues]

class ReturnValuesOnConditionCheckFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_UNSPECIFIED: _ClassVar[ReturnValuesOnConditionCheckFailure]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_NONE: _ClassVar[ReturnValuesOnConditionCheckFailure]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_ALL_OLD: _ClassVar[ReturnValuesOnConditionCheckFailure]

class ReturnConsumedCapacity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_CONSUMED_CAPACITY_UNSPECIFIED: _ClassVar[ReturnConsumedCapacity]
    RETURN_CONSUMED_CAPACITY_NONE: _ClassVar[ReturnConsumedCapacity]
    RETURN_CONSUMED_CAPACITY_TOTAL: _ClassVar[ReturnConsumedCapacity]
    RETURN_CONSUMED_CAPACITY_INDEXES: _ClassVar[ReturnConsumedCapacity]

class ReturnItemCollectionMetrics(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_ITEM_COLLECTION_METRICS_UNSPECIFIED: _ClassVar[ReturnItemCollectionMetrics]
    RETURN_ITEM_COLLECTION_METRICS_NONE: _ClassVar[ReturnItemCollectionMetrics]
    RETURN_ITEM_COLLECTION_METRICS_SIZE: _ClassVar[ReturnItemCollectionMetrics]

class Select(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SELECT_UNSPECIFIED: _ClassVar[Select]
    SELECT_ALL_ATTRIBUTES: _ClassVar[Select]
    SELECT_ALL_PROJECTED_ATTRIBUTES: _ClassVar[Select]
    SELECT_SPECIFIC_ATTRIBUTES: _ClassVar[Select]
    SELECT_COUNT: _ClassVar[Select]

class RequestOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REQUEST_OUTCOME_UNSPECIFIED: _ClassVar[RequestOutcome]
    REQUEST_OUTCOME_NOTHING_DONE: _ClassVar[RequestOutcome]
    REQUEST_OUTCOME_UNKNOWN: _ClassVar[RequestOutcome]
RETURN_VALUES_UNSPECIFIED: ReturnValues
RETURN_VALUES_NONE: ReturnValues
RETURN_VALUES_ALL_OLD: ReturnValues
RETURN_VALUES_UPDATED_OLD: ReturnValues
RETURN_VALUES_ALL_NEW: ReturnValues
RETURN_VALUES_UPDATED_NEW: ReturnValues
RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_UNSPECIFIED: ReturnValuesOnConditionCheckFailure
RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_NONE: ReturnValuesOnConditionCheckFailure
RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_ALL_OLD: ReturnValuesOnConditionCheckFailure
RETURN_CONSUMED_CAPACITY_UNSPECIFIED: ReturnConsumedCapacity
RETURN_CONSUMED_CAPACITY_NONE: ReturnConsumedCapacity
RETURN_CONSUMED_CAPACITY_TOTAL: ReturnConsumedCapacity
RETURN_CONSUMED_CAPACITY_INDEXES: ReturnConsumedCapacity
RETURN_ITEM_COLLECTION_METRICS_UNSPECIFIED: ReturnItemCollectionMetrics
RETURN_ITEM_COLLECTION_METRICS_NONE: ReturnItemCollectionMetrics
RETURN_ITEM_COLLECTION_METRICS_SIZE: ReturnItemCollectionMetrics
SELECT_UNSPECIFIED: Select
SELECT_ALL_ATTRIBUTES: Select
SELECT_ALL_PROJECTED_ATTRIBUTES: Select
SELECT_SPECIFIC_ATTRIBUTES: Select
SELECT_COUNT: Select
REQUEST_OUTCOME_UNSPECIFIED: RequestOutcome
REQUEST_OUTCOME_NOTHING_DONE: RequestOutcome
REQUEST_OUTCOME_UNKNOWN: RequestOutcome

class AttributeValue(_message.Message):
    __slots__ = ("s", "n", "b", "bool", "null", "m", "l", "ss", "ns", "bs")
    S_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    BOOL_FIELD_NUMBER: _ClassVar[int]
    NULL_FIELD_NUMBER: _ClassVar[int]
    M_FIELD_NUMBER: _ClassVar[int]
    L_FIELD_NUMBER: _ClassVar[int]
    SS_FIELD_NUMBER: _ClassVar[int]
    NS_FIELD_NUMBER: _ClassVar[int]
    BS_FIELD_NUMBER: _ClassVar[int]
    s: str
    n: str
    b: bytes
    bool: bool
    null: bool
    m: Attributes
    l: ListValue
    ss: StringSet
    ns: NumberSet
    bs: BytesSet
    def __init__(self, s: _Optional[str] = ..., n: _Optional[str] = ..., b: _Optional[bytes] = ..., bool: _Optional[bool] = ..., null: _Optional[bool] = ..., m: _Optional[_Union[Attributes, _Mapping]] = ..., l: _Optional[_Union[ListValue, _Mapping]] = ..., ss: _Optional[_Union[StringSet, _Mapping]] = ..., ns: _Optional[_Union[NumberSet, _Mapping]] = ..., bs: _Optional[_Union[BytesSet, _Mapping]] = ...) -> None: ...

class Attributes(_message.Message):
    __slots__ = ("attributes",)
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.MessageMap[str, AttributeValue]
    def __init__(self, attributes: _Optional[_Mapping[str, AttributeValue]] = ...) -> None: ...

class ListValue(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[AttributeValue]
    def __init__(self, values: _Optional[_Iterable[_Union[AttributeValue, _Mapping]]] = ...) -> None: ...

class StringSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class NumberSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class BytesSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("capacity_units", "read_capacity_units", "write_capacity_units")
    CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    READ_CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    WRITE_CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    capacity_units: float
    read_capacity_units: float
    write_capacity_units: float
    def __init__(self, capacity_units: _Optional[float] = ..., read_capacity_units: _Optional[float] = ..., write_capacity_units: _Optional[float] = ...) -> None: ...

class ConsumedCapacity(_message.Message):
    __slots__ = ("table_name", "capacity_units", "read_capacity_units", "write_capacity_units", "table", "local_secondary_indexes", "global_secondary_indexes")
    class LocalSecondaryIndexesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Capacity
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Capacity, _Mapping]] = ...) -> None: ...
    class GlobalSecondaryIndexesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Capacity
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Capacity, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    READ_CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    WRITE_CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_SECONDARY_INDEXES_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_SECONDARY_INDEXES_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    capacity_units: float
    read_capacity_units: float
    write_capacity_units: float
    table: Capacity
    local_secondary_indexes: _containers.MessageMap[str, Capacity]
    global_secondary_indexes: _containers.MessageMap[str, Capacity]
    def __init__(self, table_name: _Optional[str] = ..., capacity_units: _Optional[float] = ..., read_capacity_units: _Optional[float] = ..., write_capacity_units: _Optional[float] = ..., table: _Optional[_Union[Capacity, _Mapping]] = ..., local_secondary_indexes: _Optional[_Mapping[str, Capacity]] = ..., global_secondary_indexes: _Optional[_Mapping[str, Capacity]] = ...) -> None: ...

class ItemCollectionMetrics(_message.Message):
    __slots__ = ("item_collection_key", "size_estimate_range_gb")
    class ItemCollectionKeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ITEM_COLLECTION_KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_ESTIMATE_RANGE_GB_FIELD_NUMBER: _ClassVar[int]
    item_collection_key: _containers.MessageMap[str, AttributeValue]
    size_estimate_range_gb: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, item_collection_key: _Optional[_Mapping[str, AttributeValue]] = ..., size_estimate_range_gb: _Optional[_Iterable[float]] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("table_name", "key", "consistent_read", "projection_expression", "expression_attribute_names", "return_consumed_capacity")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_READ_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    consistent_read: bool
    projection_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    return_consumed_capacity: ReturnConsumedCapacity
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., consistent_read: _Optional[bool] = ..., projection_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item", "consumed_capacity")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    item: Attributes
    consumed_capacity: ConsumedCapacity
    def __init__(self, item: _Optional[_Union[Attributes, _Mapping]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ...) -> None: ...

class KeysAndAttributes(_message.Message):
    __slots__ = ("keys", "consistent_read", "projection_expression", "expression_attribute_names")
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_READ_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[Attributes]
    consistent_read: bool
    projection_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    def __init__(self, keys: _Optional[_Iterable[_Union[Attributes, _Mapping]]] = ..., consistent_read: _Optional[bool] = ..., projection_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ...) -> None: ...

class BatchGetItemRequest(_message.Message):
    __slots__ = ("request_items", "return_consumed_capacity")
    class RequestItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: KeysAndAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[KeysAndAttributes, _Mapping]] = ...) -> None: ...
    REQUEST_ITEMS_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    request_items: _containers.MessageMap[str, KeysAndAttributes]
    return_consumed_capacity: ReturnConsumedCapacity
    def __init__(self, request_items: _Optional[_Mapping[str, KeysAndAttributes]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ...) -> None: ...

class Items(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Attributes]
    def __init__(self, items: _Optional[_Iterable[_Union[Attributes, _Mapping]]] = ...) -> None: ...

class BatchGetItemResponse(_message.Message):
    __slots__ = ("responses", "unprocessed_keys", "consumed_capacity")
    class ResponsesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Items
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Items, _Mapping]] = ...) -> None: ...
    class UnprocessedKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: KeysAndAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[KeysAndAttributes, _Mapping]] = ...) -> None: ...
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    UNPROCESSED_KEYS_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.MessageMap[str, Items]
    unprocessed_keys: _containers.MessageMap[str, KeysAndAttributes]
    consumed_capacity: _containers.RepeatedCompositeFieldContainer[ConsumedCapacity]
    def __init__(self, responses: _Optional[_Mapping[str, Items]] = ..., unprocessed_keys: _Optional[_Mapping[str, KeysAndAttributes]] = ..., consumed_capacity: _Optional[_Iterable[_Union[ConsumedCapacity, _Mapping]]] = ...) -> None: ...

class PutItemRequest(_message.Message):
    __slots__ = ("table_name", "item", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values", "return_values_on_condition_check_failure", "return_consumed_capacity", "return_item_collection_metrics")
    class ItemEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RETURN_ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    item: _containers.MessageMap[str, AttributeValue]
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values: ReturnValues
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: ReturnItemCollectionMetrics
    def __init__(self, table_name: _Optional[str] = ..., item: _Optional[_Mapping[str, AttributeValue]] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values: _Optional[_Union[ReturnValues, str]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ..., return_item_collection_metrics: _Optional[_Union[ReturnItemCollectionMetrics, str]] = ...) -> None: ...

class PutItemResponse(_message.Message):
    __slots__ = ("attributes", "consumed_capacity", "item_collection_metrics")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    attributes: Attributes
    consumed_capacity: ConsumedCapacity
    item_collection_metrics: ItemCollectionMetrics
    def __init__(self, attributes: _Optional[_Union[Attributes, _Mapping]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ..., item_collection_metrics: _Optional[_Union[ItemCollectionMetrics, _Mapping]] = ...) -> None: ...

class UpdateItemRequest(_message.Message):
    __slots__ = ("table_name", "key", "update_expression", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values", "return_values_on_condition_check_failure", "return_consumed_capacity", "return_item_collection_metrics")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RETURN_ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    update_expression: str
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values: ReturnValues
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: ReturnItemCollectionMetrics
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., update_expression: _Optional[str] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values: _Optional[_Union[ReturnValues, str]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ..., return_item_collection_metrics: _Optional[_Union[ReturnItemCollectionMetrics, str]] = ...) -> None: ...

class UpdateItemResponse(_message.Message):
    __slots__ = ("attributes", "consumed_capacity", "item_collection_metrics")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    attributes: Attributes
    consumed_capacity: ConsumedCapacity
    item_collection_metrics: ItemCollectionMetrics
    def __init__(self, attributes: _Optional[_Union[Attributes, _Mapping]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ..., item_collection_metrics: _Optional[_Union[ItemCollectionMetrics, _Mapping]] = ...) -> None: ...

class DeleteItemRequest(_message.Message):
    __slots__ = ("table_name", "key", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values", "return_values_on_condition_check_failure", "return_consumed_capacity", "return_item_collection_metrics")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RETURN_ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values: ReturnValues
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: ReturnItemCollectionMetrics
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values: _Optional[_Union[ReturnValues, str]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ..., return_item_collection_metrics: _Optional[_Union[ReturnItemCollectionMetrics, str]] = ...) -> None: ...

class DeleteItemResponse(_message.Message):
    __slots__ = ("attributes", "consumed_capacity", "item_collection_metrics")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    attributes: Attributes
    consumed_capacity: ConsumedCapacity
    item_collection_metrics: ItemCollectionMetrics
    def __init__(self, attributes: _Optional[_Union[Attributes, _Mapping]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ..., item_collection_metrics: _Optional[_Union[ItemCollectionMetrics, _Mapping]] = ...) -> None: ...

class WriteRequest(_message.Message):
    __slots__ = ("put_item", "delete_key")
    PUT_ITEM_FIELD_NUMBER: _ClassVar[int]
    DELETE_KEY_FIELD_NUMBER: _ClassVar[int]
    put_item: Attributes
    delete_key: Attributes
    def __init__(self, put_item: _Optional[_Union[Attributes, _Mapping]] = ..., delete_key: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class WriteRequests(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[WriteRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[WriteRequest, _Mapping]]] = ...) -> None: ...

class BatchWriteItemRequest(_message.Message):
    __slots__ = ("request_items", "return_consumed_capacity", "return_item_collection_metrics")
    class RequestItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: WriteRequests
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[WriteRequests, _Mapping]] = ...) -> None: ...
    REQUEST_ITEMS_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RETURN_ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    request_items: _containers.MessageMap[str, WriteRequests]
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: ReturnItemCollectionMetrics
    def __init__(self, request_items: _Optional[_Mapping[str, WriteRequests]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ..., return_item_collection_metrics: _Optional[_Union[ReturnItemCollectionMetrics, str]] = ...) -> None: ...

class ItemCollectionMetricsList(_message.Message):
    __slots__ = ("metrics",)
    METRICS_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedCompositeFieldContainer[ItemCollectionMetrics]
    def __init__(self, metrics: _Optional[_Iterable[_Union[ItemCollectionMetrics, _Mapping]]] = ...) -> None: ...

class BatchWriteItemResponse(_message.Message):
    __slots__ = ("unprocessed_items", "consumed_capacity", "item_collection_metrics")
    class UnprocessedItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: WriteRequests
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[WriteRequests, _Mapping]] = ...) -> None: ...
    class ItemCollectionMetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemCollectionMetricsList
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemCollectionMetricsList, _Mapping]] = ...) -> None: ...
    UNPROCESSED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    unprocessed_items: _containers.MessageMap[str, WriteRequests]
    consumed_capacity: _containers.RepeatedCompositeFieldContainer[ConsumedCapacity]
    item_collection_metrics: _containers.MessageMap[str, ItemCollectionMetricsList]
    def __init__(self, unprocessed_items: _Optional[_Mapping[str, WriteRequests]] = ..., consumed_capacity: _Optional[_Iterable[_Union[ConsumedCapacity, _Mapping]]] = ..., item_collection_metrics: _Optional[_Mapping[str, ItemCollectionMetricsList]] = ...) -> None: ...

class TransactGet(_message.Message):
    __slots__ = ("table_name", "key", "projection_expression", "expression_attribute_names")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    projection_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., projection_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TransactGetItemsRequest(_message.Message):
    __slots__ = ("transact_items", "return_consumed_capacity")
    TRANSACT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    transact_items: _containers.RepeatedCompositeFieldContainer[TransactGet]
    return_consumed_capacity: ReturnConsumedCapacity
    def __init__(self, transact_items: _Optional[_Iterable[_Union[TransactGet, _Mapping]]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ...) -> None: ...

class ItemResponse(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: Attributes
    def __init__(self, item: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class TransactGetItemsResponse(_message.Message):
    __slots__ = ("responses", "consumed_capacity")
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[ItemResponse]
    consumed_capacity: _containers.RepeatedCompositeFieldContainer[ConsumedCapacity]
    def __init__(self, responses: _Optional[_Iterable[_Union[ItemResponse, _Mapping]]] = ..., consumed_capacity: _Optional[_Iterable[_Union[ConsumedCapacity, _Mapping]]] = ...) -> None: ...

class TransactPut(_message.Message):
    __slots__ = ("table_name", "item", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values_on_condition_check_failure")
    class ItemEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    item: _containers.MessageMap[str, AttributeValue]
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    def __init__(self, table_name: _Optional[str] = ..., item: _Optional[_Mapping[str, AttributeValue]] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ...) -> None: ...

class TransactUpdate(_message.Message):
    __slots__ = ("table_name", "key", "update_expression", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values_on_condition_check_failure")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    update_expression: str
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., update_expression: _Optional[str] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ...) -> None: ...

class TransactDelete(_message.Message):
    __slots__ = ("table_name", "key", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values_on_condition_check_failure")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ...) -> None: ...

class TransactConditionCheck(_message.Message):
    __slots__ = ("table_name", "key", "condition_expression", "expression_attribute_names", "expression_attribute_values", "return_values_on_condition_check_failure")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    key: _containers.MessageMap[str, AttributeValue]
    condition_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    return_values_on_condition_check_failure: ReturnValuesOnConditionCheckFailure
    def __init__(self, table_name: _Optional[str] = ..., key: _Optional[_Mapping[str, AttributeValue]] = ..., condition_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., return_values_on_condition_check_failure: _Optional[_Union[ReturnValuesOnConditionCheckFailure, str]] = ...) -> None: ...

class TransactWrite(_message.Message):
    __slots__ = ("put", "update", "delete", "condition_check")
    PUT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    CONDITION_CHECK_FIELD_NUMBER: _ClassVar[int]
    put: TransactPut
    update: TransactUpdate
    delete: TransactDelete
    condition_check: TransactConditionCheck
    def __init__(self, put: _Optional[_Union[TransactPut, _Mapping]] = ..., update: _Optional[_Union[TransactUpdate, _Mapping]] = ..., delete: _Optional[_Union[TransactDelete, _Mapping]] = ..., condition_check: _Optional[_Union[TransactConditionCheck, _Mapping]] = ...) -> None: ...

class TransactWriteItemsRequest(_message.Message):
    __slots__ = ("transact_items", "client_request_token", "return_consumed_capacity", "return_item_collection_metrics")
    TRANSACT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_REQUEST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RETURN_ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    transact_items: _containers.RepeatedCompositeFieldContainer[TransactWrite]
    client_request_token: str
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: ReturnItemCollectionMetrics
    def __init__(self, transact_items: _Optional[_Iterable[_Union[TransactWrite, _Mapping]]] = ..., client_request_token: _Optional[str] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ..., return_item_collection_metrics: _Optional[_Union[ReturnItemCollectionMetrics, str]] = ...) -> None: ...

class TransactWriteItemsResponse(_message.Message):
    __slots__ = ("consumed_capacity", "item_collection_metrics")
    class ItemCollectionMetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemCollectionMetricsList
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemCollectionMetricsList, _Mapping]] = ...) -> None: ...
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLLECTION_METRICS_FIELD_NUMBER: _ClassVar[int]
    consumed_capacity: _containers.RepeatedCompositeFieldContainer[ConsumedCapacity]
    item_collection_metrics: _containers.MessageMap[str, ItemCollectionMetricsList]
    def __init__(self, consumed_capacity: _Optional[_Iterable[_Union[ConsumedCapacity, _Mapping]]] = ..., item_collection_metrics: _Optional[_Mapping[str, ItemCollectionMetricsList]] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("table_name", "index_name", "key_condition_expression", "filter_expression", "projection_expression", "expression_attribute_names", "expression_attribute_values", "exclusive_start_key", "limit", "consistent_read", "scan_index_forward", "select", "return_consumed_capacity")
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExclusiveStartKeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_CONDITION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    FILTER_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_START_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_READ_FIELD_NUMBER: _ClassVar[int]
    SCAN_INDEX_FORWARD_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    index_name: str
    key_condition_expression: str
    filter_expression: str
    projection_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    exclusive_start_key: _containers.MessageMap[str, AttributeValue]
    limit: int
    consistent_read: bool
    scan_index_forward: bool
    select: Select
    return_consumed_capacity: ReturnConsumedCapacity
    def __init__(self, table_name: _Optional[str] = ..., index_name: _Optional[str] = ..., key_condition_expression: _Optional[str] = ..., filter_expression: _Optional[str] = ..., projection_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., exclusive_start_key: _Optional[_Mapping[str, AttributeValue]] = ..., limit: _Optional[int] = ..., consistent_read: _Optional[bool] = ..., scan_index_forward: _Optional[bool] = ..., select: _Optional[_Union[Select, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("items", "count", "scanned_count", "last_evaluated_key", "consumed_capacity")
    class LastEvaluatedKeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_EVALUATED_KEY_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Attributes]
    count: int
    scanned_count: int
    last_evaluated_key: _containers.MessageMap[str, AttributeValue]
    consumed_capacity: ConsumedCapacity
    def __init__(self, items: _Optional[_Iterable[_Union[Attributes, _Mapping]]] = ..., count: _Optional[int] = ..., scanned_count: _Optional[int] = ..., last_evaluated_key: _Optional[_Mapping[str, AttributeValue]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ...) -> None: ...

class ScanRequest(_message.Message):
    __slots__ = ("table_name", "index_name", "filter_expression", "projection_expression", "expression_attribute_names", "expression_attribute_values", "exclusive_start_key", "limit", "consistent_read", "segment", "total_segments", "select", "return_consumed_capacity")
    class ExpressionAttributeNamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ExpressionAttributeValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class ExclusiveStartKeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_START_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_READ_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    RETURN_CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    index_name: str
    filter_expression: str
    projection_expression: str
    expression_attribute_names: _containers.ScalarMap[str, str]
    expression_attribute_values: _containers.MessageMap[str, AttributeValue]
    exclusive_start_key: _containers.MessageMap[str, AttributeValue]
    limit: int
    consistent_read: bool
    segment: int
    total_segments: int
    select: Select
    return_consumed_capacity: ReturnConsumedCapacity
    def __init__(self, table_name: _Optional[str] = ..., index_name: _Optional[str] = ..., filter_expression: _Optional[str] = ..., projection_expression: _Optional[str] = ..., expression_attribute_names: _Optional[_Mapping[str, str]] = ..., expression_attribute_values: _Optional[_Mapping[str, AttributeValue]] = ..., exclusive_start_key: _Optional[_Mapping[str, AttributeValue]] = ..., limit: _Optional[int] = ..., consistent_read: _Optional[bool] = ..., segment: _Optional[int] = ..., total_segments: _Optional[int] = ..., select: _Optional[_Union[Select, str]] = ..., return_consumed_capacity: _Optional[_Union[ReturnConsumedCapacity, str]] = ...) -> None: ...

class ScanResponse(_message.Message):
    __slots__ = ("items", "count", "scanned_count", "last_evaluated_key", "consumed_capacity")
    class LastEvaluatedKeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_EVALUATED_KEY_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Attributes]
    count: int
    scanned_count: int
    last_evaluated_key: _containers.MessageMap[str, AttributeValue]
    consumed_capacity: ConsumedCapacity
    def __init__(self, items: _Optional[_Iterable[_Union[Attributes, _Mapping]]] = ..., count: _Optional[int] = ..., scanned_count: _Optional[int] = ..., last_evaluated_key: _Optional[_Mapping[str, AttributeValue]] = ..., consumed_capacity: _Optional[_Union[ConsumedCapacity, _Mapping]] = ...) -> None: ...

class CancellationReason(_message.Message):
    __slots__ = ("code", "message", "item")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    item: Attributes
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., item: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "outcome", "item", "cancellation_reasons", "truncated")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CANCELLATION_REASONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    outcome: RequestOutcome
    item: Attributes
    cancellation_reasons: _containers.RepeatedCompositeFieldContainer[CancellationReason]
    truncated: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., outcome: _Optional[_Union[RequestOutcome, str]] = ..., item: _Optional[_Union[Attributes, _Mapping]] = ..., cancellation_reasons: _Optional[_Iterable[_Union[CancellationReason, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...
