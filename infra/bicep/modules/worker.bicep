metadata name = 'Worker'
metadata description = 'The bridge as a container app: no ingress, probes on its own port, scaled by the queues\' length.'

@description('Required. The name of the container app.')
param name string

@description('Required. The region.')
param location string

@description('Optional. Tags of the container app.')
param tags object = {}

@description('Required. The resource ID of the Container Apps environment.')
param environmentResourceId string

@description('Required. The image. Until the first one is built, a placeholder that knows neither the probes nor the configuration.')
param image string

@description('Optional. The host name of the registry that the image comes from, pulled with the worker\'s identity.')
param registryServer string = ''

@description('Required. The content of bridge.yaml.')
param configuration string

@description('Required. The port of the health endpoints, as in listen of bridge.yaml.')
param port int

@description('Required. The resource ID of the worker\'s identity.')
param workerIdentityResourceId string

@description('Required. The client ID of the worker\'s identity.')
param workerClientId string

@description('Required. The resource ID of the identity that the scale rules sign in with.')
param scalerIdentityResourceId string

@description('Required. The name of the Service Bus namespace, without the domain.')
param namespaceName string

@description('Required. The queues whose length scales the app.')
param inboundQueues string[]

@description('Required. The signals that the OpenTelemetry agent of the environment takes.')
param signals string

@description('Optional. Replicas at least. Below 1 an app without ingress is not started again for what arrives later than the last message.')
@minValue(1)
param minReplicas int = 1

@description('Optional. Replicas at most. More than there are busy lanes is waste: KEDA counts messages, not sessions.')
@minValue(1)
param maxReplicas int = 3

@description('Optional. Waiting messages per replica.')
param messagesPerReplica int = 50

@description('Optional. CPU cores of a replica.')
param cpu string = '0.5'

@description('Optional. Memory of a replica.')
param memory string = '1Gi'

@description('Optional. Seconds between SIGTERM and SIGKILL. Longer than grace in bridge.yaml plus five seconds for telemetry.')
@maxValue(600)
param terminationGracePeriodSeconds int = 120

var placeholder = startsWith(image, 'mcr.microsoft.com/k8se/quickstart')

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${workerIdentityResourceId}': {}
      '${scalerIdentityResourceId}': {}
    }
  }
  properties: {
    environmentId: environmentResourceId
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      identitySettings: [
        {
          identity: workerIdentityResourceId
          lifecycle: 'Main'
        }
        {
          identity: scalerIdentityResourceId
          lifecycle: 'None' // for the scale rules; the container gets no token of it
        }
      ]
      registries: empty(registryServer) ? [] : [
        {
          server: registryServer
          identity: workerIdentityResourceId
        }
      ]
      // The configuration is no secret: it only says where secrets are. A secret is the one way to give a container
      // app a file without a storage account and its key.
      secrets: [
        {
          name: 'bridge-yaml'
          value: configuration
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: terminationGracePeriodSeconds
      containers: [
        {
          name: 'bridge'
          image: image
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          env: [
            {
              // A changed secret alone starts no new revision; a changed variable does.
              name: 'FNOBRIDGE_CONFIG_ID'
              value: uniqueString(configuration)
            }
            {
              name: 'AZURE_CLIENT_ID'
              value: workerClientId
            }
            {
              name: 'OTEL_SERVICE_NAME'
              value: name
            }
            {
              name: 'OTEL_TRACES_EXPORTER'
              value: contains(signals, 'traces') ? 'otlp' : 'none'
            }
            {
              name: 'OTEL_METRICS_EXPORTER'
              value: contains(signals, 'metrics') ? 'otlp' : 'none'
            }
            {
              name: 'OTEL_LOGS_EXPORTER'
              value: contains(signals, 'logs') ? 'otlp' : 'none'
            }
          ]
          volumeMounts: [
            {
              volumeName: 'configuration'
              mountPath: '/etc/fnobridge'
            }
          ]
          probes: placeholder ? [] : [
            {
              type: 'Startup'
              httpGet: {
                path: '/readyz'
                port: port
              }
              periodSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: port
              }
              periodSeconds: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/healthz'
                port: port
              }
              periodSeconds: 30
              failureThreshold: 3
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'configuration'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'bridge-yaml'
              path: 'bridge.yaml'
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [
          for queue in inboundQueues: {
            name: 'queue-${uniqueString(queue)}'
            custom: {
              type: 'azure-servicebus'
              metadata: {
                namespace: namespaceName
                queueName: queue
                messageCount: string(messagesPerReplica)
              }
              identity: scalerIdentityResourceId
            }
          }
        ]
      }
    }
  }
}

@description('The name of the container app.')
output name string = app.name

@description('The resource ID of the container app.')
output resourceId string = app.id
