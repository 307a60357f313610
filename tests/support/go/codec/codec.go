// Package codec drives a Go client line by line: a JSON call on stdin, its outcome on stdout.
//
// Calls and results have boto3's form; bytes are wrapped as {"$bytes": base64}. What the SDK calls
// its fields and how they nest is asked of its own types.
package codec

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
)

// Call makes one call of the SDK: the method by its SDK's name, decoded parameters, the result.
type Call func(method string, params map[string]any) (any, error)

// Outcome is what a failed call comes to; see tests/support/js_client.py.
type Outcome struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  *int   `json:"status"`
	Class   string `json:"class"`
	Item    any    `json:"item"`
	Reasons any    `json:"reasons"`
}

type asked struct {
	Number int            `json:"number"`
	Method string         `json:"method"`
	Params map[string]any `json:"params"`
}

// Serve answers until stdin ends.
func Serve(call Call, describe func(error) Outcome) {
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	var writing sync.Mutex
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		var request asked
		if err := json.Unmarshal(line, &request); err != nil {
			panic(err)
		}
		go func() {
			outcome := map[string]any{"number": request.Number}
			result, err := guarded(call, request)
			if err != nil {
				outcome["error"] = describe(err)
			} else {
				outcome["result"] = result
			}
			writing.Lock()
			defer writing.Unlock()
			if err := out.Encode(outcome); err != nil {
				panic(err)
			}
		}()
	}
}

// A client that panics must not end the driver: the test is to see which call it was.
func guarded(call Call, request asked) (result any, err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("panic: %v", found)
		}
	}()
	return call(request.Method, request.Params)
}

// Decoder makes values of the SDK's types. Union decodes into its interface types, if it has any.
type Decoder struct {
	Union func(kind reflect.Type, value map[string]any) (reflect.Value, bool)
}

// Into fills a value of type kind from what JSON gave.
func (d Decoder) Into(kind reflect.Type, value any) reflect.Value {
	switch kind.Kind() {
	case reflect.Pointer:
		filled := reflect.New(kind.Elem())
		filled.Elem().Set(d.Into(kind.Elem(), value))
		return filled
	case reflect.Interface:
		made, ok := d.Union(kind, value.(map[string]any))
		if !ok {
			panic(fmt.Sprintf("no member of %v in %v", kind, value))
		}
		return made
	case reflect.Struct:
		filled := reflect.New(kind).Elem()
		for name, member := range value.(map[string]any) {
			field := filled.FieldByName(name)
			if !field.IsValid() {
				panic(fmt.Sprintf("%v has no %s", kind, name))
			}
			if member != nil {
				field.Set(d.Into(field.Type(), member))
			}
		}
		return filled
	case reflect.Map:
		filled := reflect.MakeMap(kind)
		for name, member := range value.(map[string]any) {
			filled.SetMapIndex(reflect.ValueOf(name).Convert(kind.Key()), d.Into(kind.Elem(), member))
		}
		return filled
	case reflect.Slice:
		if wrapped, ok := value.(map[string]any); ok && kind.Elem().Kind() == reflect.Uint8 {
			bytes, err := base64.StdEncoding.DecodeString(wrapped["$bytes"].(string))
			if err != nil {
				panic(err)
			}
			return reflect.ValueOf(bytes)
		}
		filled := reflect.MakeSlice(kind, 0, 0)
		for _, member := range value.([]any) {
			filled = reflect.Append(filled, d.Into(kind.Elem(), member))
		}
		return filled
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		return reflect.ValueOf(value).Convert(kind)
	}
	panic(fmt.Sprintf("no parameter of %v's type", kind))
}

// Encode gives a value of the SDK in boto3's form; what is not set is left out.
// member: the name of a union's member type, "" for all other types.
func Encode(value reflect.Value, member func(reflect.Type) string) any {
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			return nil
		}
		if name := member(value.Type()); name != "" {
			found := Encode(value.Elem().FieldByName("Value"), member)
			if found == nil {
				found = []any{}
			}
			return map[string]any{name: found}
		}
		return Encode(value.Elem(), member)
	case reflect.Struct:
		found := map[string]any{}
		for index := range value.NumField() {
			field := value.Type().Field(index)
			if !field.IsExported() || field.Name == "ResultMetadata" {
				continue
			}
			if encoded := Encode(value.Field(index), member); encoded != nil {
				found[field.Name] = encoded
			}
		}
		return found
	case reflect.Map:
		if value.IsNil() {
			return nil
		}
		found := map[string]any{}
		for _, name := range value.MapKeys() {
			found[name.String()] = Encode(value.MapIndex(name), member)
		}
		return found
	case reflect.Slice:
		if value.IsNil() {
			return nil
		}
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return map[string]any{"$bytes": base64.StdEncoding.EncodeToString(value.Bytes())}
		}
		found := []any{}
		for index := range value.Len() {
			found = append(found, Encode(value.Index(index), member))
		}
		return found
	case reflect.String:
		if value.String() == "" && value.Type().Name() != "string" {
			return nil // an enum that is not set
		}
	}
	return value.Interface()
}

// Exported is the name that Go has for a method of boto3's spelling in camel case.
func Exported(method string) string {
	return strings.ToUpper(method[:1]) + method[1:]
}
