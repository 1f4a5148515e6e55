metadata name = 'fnobridge'
metadata description = 'A bridge between Azure Service Bus and Dynamics 365 Finance and Operations, with everything it needs in Azure.'

targetScope = 'subscription'

import { subscriptionType } from 'modules/types.bicep'

@description('Required. The name of the installation, as in fno-prod: part of every name.')
@minLength(3)
@maxLength(20)
param environmentName string

@description('Required. The region.')
param location string

@description('Optional. The resource group, made when it is not there.')
param resourceGroupName string = 'rg-${environmentName}'

@description('Optional. The image of the bridge; a placeholder when empty, until azd deploy or a build has put one into the registry.')
param image string = ''

@description('Optional. The object ID of a person or group that operates the bridge: sends files, watches events, settles dead letters.')
param principalId string = ''

@description('Optional. What kind of principal the operator is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Optional. Who gets a mail about dead letters.')
param alertEmail string = ''

@description('Optional. The tier of Service Bus. Premium brings messages over 256 KB.')
@allowed(['Standard', 'Premium'])
param serviceBusSkuName string = 'Standard'

@description('Optional. The subscriptions of the status topic.')
param subscriptions subscriptionType[] = [
  {
    name: 'attention' // what a person should look at
    filter: 'status IN (\'DeadLettered\', \'Held\', \'UnknownOutcome\', \'NeverEnds\', \'Paused\')'
  }
]

@description('Optional. Where the OpenTelemetry agent sends to: nowhere, Application Insights (traces and logs), or an OTLP endpoint (all signals).')
@allowed(['none', 'applicationInsights', 'otlp'])
param telemetry string = 'applicationInsights'

@description('Conditional. The OTLP endpoint (gRPC), required if telemetry is otlp.')
param otlpEndpoint string = ''

@description('Optional. The subnet of the Container Apps environment.')
param subnetResourceId string = ''

@description('Optional. Replicas at most.')
@minValue(1)
param maxReplicas int = 3

@description('Optional. Tags of every resource.')
param tags object = {}

// The entities are those that bridge.yaml names, so that what is deployed and what runs cannot drift apart.
var bridge = loadYamlContent('bridge.yaml')
var inboundQueues = map(bridge.sources, source => source.queue)
var exportQueues = union(map(bridge.exports, export => export.queue), []) // each once
var port = int(last(split(bridge.listen, ':')))
var configuration = replace(
  replace(loadTextContent('bridge.yaml'), bridge.serviceBus.namespace, serviceBus.outputs.hostName),
  bridge.serviceBus.identity.clientId,
  worker.outputs.clientId
)

var suffix = uniqueString(subscription().id, resourceGroupName, environmentName)
var allTags = union(tags, { 'azd-env-name': environmentName })

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: resourceGroupName
  location: location
  tags: allTags
}

module worker 'modules/identity.bicep' = {
  scope: group
  params: {
    name: 'id-${environmentName}-worker'
    location: location
    tags: allTags
  }
}

module scaler 'modules/identity.bicep' = {
  scope: group
  params: {
    name: 'id-${environmentName}-scaler'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: 'log-${environmentName}'
    applicationInsightsName: 'appi-${environmentName}'
    location: location
    tags: allTags
  }
}

module serviceBus 'modules/service-bus.bicep' = {
  scope: group
  params: {
    name: 'sb-${environmentName}-${suffix}'
    location: location
    tags: allTags
    skuName: serviceBusSkuName
    inboundQueues: inboundQueues
    exportQueues: exportQueues
    statusTopic: bridge.status.topic
    subscriptions: subscriptions
    workspaceResourceId: monitoring.outputs.workspaceResourceId
  }
}

module access 'modules/service-bus-access.bicep' = {
  scope: group
  params: {
    namespaceName: serviceBus.outputs.name
    inboundQueues: inboundQueues
    exportQueues: exportQueues
    statusTopic: bridge.status.topic
    workerPrincipalId: worker.outputs.principalId
    scalerPrincipalId: scaler.outputs.principalId
    operatorPrincipalId: principalId
    operatorPrincipalType: principalType
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    name: 'alert-${environmentName}'
    tags: allTags
    namespaceResourceId: serviceBus.outputs.resourceId
    entities: concat(inboundQueues, exportQueues, [bridge.status.topic])
    email: alertEmail
  }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    name: 'cr${suffix}'
    location: location
    tags: allTags
    pullPrincipalId: worker.outputs.principalId
  }
}

module environment 'modules/container-environment.bicep' = {
  scope: group
  params: {
    name: 'cae-${environmentName}'
    location: location
    tags: allTags
    workspaceResourceId: monitoring.outputs.workspaceResourceId
    applicationInsightsName: telemetry == 'applicationInsights' ? monitoring.outputs.applicationInsightsName : ''
    otlpEndpoint: telemetry == 'otlp' ? otlpEndpoint : ''
    subnetResourceId: subnetResourceId
  }
}

module app 'modules/worker.bicep' = {
  scope: group
  params: {
    name: 'ca-${environmentName}'
    location: location
    tags: union(allTags, { 'azd-service-name': 'bridge' })
    environmentResourceId: environment.outputs.resourceId
    image: empty(image) ? 'mcr.microsoft.com/k8se/quickstart:latest' : image
    registryServer: registry.outputs.loginServer
    configuration: configuration
    port: port
    workerIdentityResourceId: worker.outputs.resourceId
    workerClientId: worker.outputs.clientId
    scalerIdentityResourceId: scaler.outputs.resourceId
    namespaceName: serviceBus.outputs.name
    inboundQueues: inboundQueues
    signals: environment.outputs.signals
    maxReplicas: maxReplicas
  }
  dependsOn: [access] // a worker without its rights fails at once
}

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('The registry that azd pushes the image to.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.loginServer

@description('The container app.')
output SERVICE_BRIDGE_NAME string = app.outputs.name

@description('The namespace, for bridge send, watch and deadletter.')
output SERVICE_BUS_NAMESPACE string = serviceBus.outputs.hostName

@description('The client ID to register in F&O.')
output WORKER_CLIENT_ID string = worker.outputs.clientId
