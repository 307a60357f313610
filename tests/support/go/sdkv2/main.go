// The official DAX client for Go (SDK v2). Usage: sdkv2 ENDPOINT
package main

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"paceline.test/go/codec"
)

var unions = map[string]reflect.Type{
	"B":    reflect.TypeFor[types.AttributeValueMemberB](),
	"BOOL": reflect.TypeFor[types.AttributeValueMemberBOOL](),
	"BS":   reflect.TypeFor[types.AttributeValueMemberBS](),
	"L":    reflect.TypeFor[types.AttributeValueMemberL](),
	"M":    reflect.TypeFor[types.AttributeValueMemberM](),
	"N":    reflect.TypeFor[types.AttributeValueMemberN](),
	"NS":   reflect.TypeFor[types.AttributeValueMemberNS](),
	"NULL": reflect.TypeFor[types.AttributeValueMemberNULL](),
	"S":    reflect.TypeFor[types.AttributeValueMemberS](),
	"SS":   reflect.TypeFor[types.AttributeValueMemberSS](),
}

var decoder codec.Decoder

func init() {
	decoder.Union = func(_ reflect.Type, value map[string]any) (reflect.Value, bool) {
		for name, inner := range value {
			if kind, ok := unions[name]; ok {
				made := reflect.New(kind)
				field := made.Elem().FieldByName("Value")
				field.Set(decoder.Into(field.Type(), inner))
				return made, true
			}
		}
		return reflect.Value{}, false
	}
}

func member(kind reflect.Type) string {
	if kind.Kind() != reflect.Pointer {
		return ""
	}
	name, found := strings.CutPrefix(kind.Elem().Name(), "AttributeValueMember")
	if !found {
		return ""
	}
	return name
}

func describe(err error) codec.Outcome {
	found := codec.Outcome{Class: reflect.TypeOf(err).String(), Message: err.Error()}
	var api smithy.APIError
	if errors.As(err, &api) {
		found.Code, found.Message = api.ErrorCode(), api.ErrorMessage()
	}
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		code := status.HTTPStatusCode()
		found.Status = &code
	}
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) && failed.Item != nil {
		found.Item = codec.Encode(reflect.ValueOf(failed.Item), member)
	}
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		found.Reasons = codec.Encode(reflect.ValueOf(cancelled.CancellationReasons), member)
	}
	return found
}

func given(name string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return "x"
}

func main() {
	config := dax.DefaultConfig()
	config.HostPorts = []string{os.Args[1]}
	config.Region = "us-east-1"
	config.Credentials = credentials.NewStaticCredentialsProvider(given("DRIVER_ACCESS_KEY"), given("DRIVER_SECRET_KEY"), os.Getenv("DRIVER_SESSION_TOKEN"))
	client, err := dax.New(config)
	if err != nil {
		panic(err)
	}
	codec.Serve(func(name string, params map[string]any) (any, error) {
		method := reflect.ValueOf(client).MethodByName(codec.Exported(name))
		input := decoder.Into(method.Type().In(1), params)
		answered := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), input})
		if err, _ := answered[1].Interface().(error); err != nil {
			return nil, err
		}
		return codec.Encode(answered[0], member), nil
	}, describe)
}
