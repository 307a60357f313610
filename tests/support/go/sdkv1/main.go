// The official DAX client for Go (SDK v1). Usage: sdkv1 ENDPOINT
package main

import (
	"errors"
	"os"
	"reflect"

	"github.com/aws/aws-dax-go/dax"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"paceline.test/go/codec"
)

func member(reflect.Type) string { return "" }

func describe(err error) codec.Outcome {
	found := codec.Outcome{Class: reflect.TypeOf(err).String(), Message: err.Error()}
	var api awserr.Error
	if errors.As(err, &api) {
		found.Code, found.Message = api.Code(), api.Message()
	}
	var failure awserr.RequestFailure
	if errors.As(err, &failure) {
		status := failure.StatusCode()
		found.Status = &status
	}
	var failed *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &failed) && failed.Item != nil {
		found.Item = codec.Encode(reflect.ValueOf(failed.Item), member)
	}
	var cancelled *dynamodb.TransactionCanceledException
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
	config.Credentials = credentials.NewStaticCredentials(given("DRIVER_ACCESS_KEY"), given("DRIVER_SECRET_KEY"), os.Getenv("DRIVER_SESSION_TOKEN"))
	config.LogLevel = aws.LogOff
	client, err := dax.New(config)
	if err != nil {
		panic(err)
	}
	var decoder codec.Decoder
	codec.Serve(func(name string, params map[string]any) (any, error) {
		method := reflect.ValueOf(client).MethodByName(codec.Exported(name))
		input := decoder.Into(method.Type().In(0), params)
		answered := method.Call([]reflect.Value{input})
		if err, _ := answered[1].Interface().(error); err != nil {
			return nil, err
		}
		return codec.Encode(answered[0], member), nil
	}, describe)
}
