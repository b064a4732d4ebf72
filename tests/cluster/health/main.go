// Tells how the health of objects is read: by kstatus, as Flux does it, and by the script for Argo
// CD that is the first argument, run by the interpreter that Argo CD uses. JSON documents from
// standard input, a line for each on standard output.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	decoder := json.NewDecoder(os.Stdin)
	for {
		var document json.RawMessage
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fail(err)
		}
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(document); err != nil {
			fail(err)
		}
		result, err := status.Compute(&object)
		if err != nil {
			fail(err)
		}
		health, err := argo(string(script), object.Object)
		if err != nil {
			fail(err)
		}
		fmt.Println(result.Status, health)
	}
}

// What the script returns for an object.
func argo(script string, object map[string]any) (string, error) {
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", errors.New("the script returns no table")
	}
	if result.RawGetString("message").String() == "" {
		return "", errors.New("the script returns no message")
	}
	return result.RawGetString("status").String(), nil
}

func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, member := range of {
			table.RawSetString(key, value(state, member))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, member := range of {
			table.Append(value(state, member))
		}
		return table
	case string:
		return lua.LString(of)
	case bool:
		return lua.LBool(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	}
	return lua.LNil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
