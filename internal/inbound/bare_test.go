package inbound

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// A bareLoop is what somebody would write by hand on the bare SDK with its defaults: receive, post, poll once, publish
// one event, complete. No ledger, no fencing, no gate, one client for everything.
type bareLoop struct {
	st       *stage
	client   *azservicebus.Client
	sender   *azservicebus.Sender
	http     *http.Client
	settled  func()
	received func()
}

func (l *bareLoop) run(ctx context.Context, sessions int) error {
	var err error
	if l.client, err = azservicebus.NewClientFromConnectionString(l.st.Bus, nil); err != nil {
		return err
	}
	if l.sender, err = l.client.NewSender("status", nil); err != nil {
		return err
	}
	l.http = &http.Client{Transport: &http.Transport{MaxIdleConns: sessions, MaxIdleConnsPerHost: sessions}, Timeout: time.Minute}
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			for ctx.Err() == nil {
				s, err := l.client.AcceptNextSessionForQueue(ctx, source, nil)
				if err != nil {
					wait(ctx, 50*time.Millisecond)
					continue
				}
				l.session(ctx, s)
				_ = s.Close(context.WithoutCancel(ctx))
			}
		})
	}
	wg.Wait()
	l.http.CloseIdleConnections()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return l.client.Close(closing)
}

func (l *bareLoop) session(ctx context.Context, s *azservicebus.SessionReceiver) {
	for {
		idle, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		got, err := s.ReceiveMessages(idle, 1, nil)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || err != nil {
			return
		}
		for _, m := range got {
			if l.received != nil {
				l.received()
			}
			if err := l.file(ctx, s, m); err != nil {
				return
			}
		}
	}
}

func (l *bareLoop) file(ctx context.Context, s *azservicebus.SessionReceiver, m *azservicebus.ReceivedMessage) error {
	id, err := l.call(ctx, "/api/connector/enqueue/"+theActivity+"?entity="+url.PathEscape(*m.SessionID), m.MessageID, m.Body)
	if err != nil {
		return err
	}
	body, _ := json.Marshal(map[string]string{"messageId": strings.Trim(id, `"`)})
	if _, err := l.call(ctx, "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus", "", body); err != nil {
		return err
	}
	event := &azservicebus.Message{MessageID: &m.MessageID, Body: []byte(`{"status":"Processed","messageId":"` + m.MessageID + `"}`)}
	if err := l.sender.SendMessage(ctx, event, nil); err != nil {
		return err
	}
	if err := s.CompleteMessage(ctx, m, nil); err != nil {
		return err
	}
	l.settled()
	return nil
}

func (l *bareLoop) call(ctx context.Context, path, key string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.st.Fno+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+l.st.Token)
	if key != "" {
		req.Header.Set("x-ms-dyn-externalidentifier", key)
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %s", resp.StatusCode, answer)
	}
	return string(answer), err
}
