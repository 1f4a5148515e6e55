package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/config"
)

// connectionVariable holds a connection string for commands that run without a configuration file.
const connectionVariable = "SERVICEBUS_CONNECTION_STRING"

// closeTimeout bounds the orderly end of a connection. A command is over by then, and a person waits for the prompt.
const closeTimeout = 3 * time.Second

// connector returns a function that connects to the configured namespace, and the host of the namespace for spans and
// messages. Nothing is dialled yet.
func connector(sb config.ServiceBus) (connect bus.Connect, server string, err error) {
	if sb.ConnectionString != nil {
		text := sb.ConnectionString.Value()
		return func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
			c, err := azservicebus.NewClientFromConnectionString(text, clientOptions(r))
			if err != nil { // its text may quote the value, which holds a key
				return nil, exit(exitConfig, errUnreadableConnection)
			}
			return c, nil
		}, hostOf(text), nil
	}
	id := config.Identity{Kind: config.IdentityDefault}
	if sb.Identity != nil {
		id = *sb.Identity
	}
	cred, err := newCredential(id)
	if err != nil {
		return nil, "", fmt.Errorf("serviceBus: %w", err)
	}
	return connectAs(sb.Namespace, cred), sb.Namespace, nil
}

var errUnreadableConnection = errors.New(
	"the connection string of Service Bus cannot be read: copy it from the shared access policy again")

func connectAs(namespace string, cred azcore.TokenCredential) bus.Connect {
	return func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClient(namespace, cred, clientOptions(r))
	}
}

func clientOptions(r azservicebus.RetryOptions) *azservicebus.ClientOptions {
	return &azservicebus.ClientOptions{RetryOptions: r, ApplicationID: "fnobridge"}
}

// hostOf returns the host in a connection string; nothing else of it may be shown.
func hostOf(connection string) string {
	for part := range strings.SplitSeq(connection, ";") {
		if k, v, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(k), "Endpoint") {
			if u, err := url.Parse(strings.TrimSpace(v)); err == nil {
				return u.Host
			}
		}
	}
	return ""
}

// serviceBus opens a client for a command that is over soon. With a configuration named by flag or variable that is
// used; else the connection string in the environment; else bridge.yaml in the working directory. cfg is nil when there
// was none to read. Retries are few and short: a person waits.
func (a *app) serviceBus() (client *azservicebus.Client, cfg *config.Config, server string, err error) {
	sb, cfg, err := a.busSettings()
	if err != nil {
		return nil, nil, "", err
	}
	connect, server, err := connector(sb)
	if err != nil {
		return nil, nil, "", err
	}
	client, err = connect(azservicebus.RetryOptions{
		MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 2 * time.Second,
	})
	if err != nil {
		return nil, nil, "", fmt.Errorf("connect to Service Bus: %w", err)
	}
	return client, cfg, server, nil
}

// busSettings returns the Service Bus that serviceBus means, and the configuration it came from, nil without one.
func (a *app) busSettings() (sb config.ServiceBus, cfg *config.Config, err error) {
	if text := a.env.get(connectionVariable); text != "" && a.configFile == "" && a.env.get("BRIDGE_CONFIG") == "" {
		return config.ServiceBus{ConnectionString: config.NewSecret(text)}, nil, nil
	}
	if a.configPath() == "" {
		return sb, nil, exit(exitConfig, errors.New(
			"no Service Bus: name a configuration with -c FILE or BRIDGE_CONFIG, or set "+connectionVariable))
	}
	if cfg, err = a.config(); err != nil {
		return sb, nil, err
	}
	return cfg.ServiceBus, cfg, nil
}

// closeQuietly ends a client, sender or receiver of a command that is over: what matters has been answered by then.
func closeQuietly(c interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.Close(ctx)
}

// busHint says what to do about an error of Service Bus, "" when there is nothing general to say.
func busHint(err error, server, entity, right string) string {
	switch codeOf(err) {
	case exitAuthorization:
		role := map[string]string{"send": "Sender", "listen": "Receiver"}[right]
		return fmt.Sprintf("The identity needs the right to %s on %s (Azure Service Bus Data %s), "+
			"and local authentication must be on for a connection string.", right, entity, role)
	case exitNotFound:
		return fmt.Sprintf("There is no %s in %s: check the name, and that it was created.", entity, server)
	case exitUnavailable:
		return fmt.Sprintf(
			"Check that %s can be reached from here (AMQP over TLS, port 5671), and that the name is right.", server)
	}
	return ""
}
