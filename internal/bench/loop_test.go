//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// loopVariable holds the script of a loop, as JSON; with it this test binary is that loop.
const loopVariable = "FNOBRIDGE_BENCH_LOOP"

// A loop is what somebody would write by hand on azservicebus with its defaults: receive, post, ask once, publish one
// event, complete. loop.mjs is the same on the other client.
type loop struct {
	script
	client *azservicebus.Client
	sender *azservicebus.Sender
	http   *http.Client
}

// runLoop works until ctx ends.
func runLoop(ctx context.Context) error {
	var l loop
	err := json.Unmarshal([]byte(os.Getenv(loopVariable)), &l.script)
	if err != nil {
		return err
	}
	if l.client, err = azservicebus.NewClientFromConnectionString(l.ServiceBus, nil); err != nil {
		return err
	}
	if l.sender, err = l.client.NewSender(l.Topic, nil); err != nil {
		return err
	}
	l.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.Sessions}, Timeout: time.Minute}
	var wg sync.WaitGroup
	for range l.Sessions {
		wg.Go(func() { l.lane(ctx) })
	}
	wg.Wait()
	return nil
}

func (l *loop) lane(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		s, err := l.client.AcceptNextSessionForQueue(wait, l.Queue, nil)
		cancel()
		if err == nil {
			l.session(ctx, s)
			_ = s.Close(context.WithoutCancel(ctx)) // else its lock runs out
		}
	}
}

// session takes files until none comes for as long as a session may be idle, or something fails.
func (l *loop) session(ctx context.Context, s *azservicebus.SessionReceiver) {
	for {
		idle, cancel := context.WithTimeout(ctx, l.Idle)
		got, err := s.ReceiveMessages(idle, 1, nil)
		cancel()
		if err != nil || len(got) == 0 || l.file(ctx, s, got[0]) != nil {
			return
		}
	}
}

func (l *loop) file(ctx context.Context, s *azservicebus.SessionReceiver, m *azservicebus.ReceivedMessage) error {
	id, err := l.call(ctx, "/api/connector/enqueue/"+l.Job+"?entity="+url.QueryEscape(s.SessionID()), m.MessageID, m.Body)
	if err != nil {
		return err
	}
	question, err := json.Marshal(map[string]string{"messageId": strings.Trim(id, `"`)})
	if err != nil {
		return err
	}
	if _, err := l.call(ctx, "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus", "", question); err != nil {
		return err
	}
	session := s.SessionID()
	event := &azservicebus.Message{SessionID: &session, MessageID: &m.MessageID, Body: []byte(`{"status":"Processed"}`)}
	if err := l.sender.SendMessage(ctx, event, nil); err != nil {
		return err
	}
	return s.CompleteMessage(ctx, m, nil)
}

func (l *loop) call(ctx context.Context, path, external string, body []byte) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Fno+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+l.Token)
	r.Header.Set("x-ms-dyn-externalidentifier", external)
	resp, err := l.http.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return string(answer), err
}
