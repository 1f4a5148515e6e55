metadata name = 'Service Bus access'
metadata description = 'Who may do what, on single entities: the worker receives from its queues and sends to its topic and queues, the scaler counts messages, an operator looks after dead letters.'

@description('Required. The name of the namespace.')
param namespaceName string

@description('Required. The session queues that the worker reads.')
param inboundQueues string[]

@description('Required. The queues that take exports.')
param exportQueues string[]

@description('Required. The topic that takes the status events.')
param statusTopic string

@description('Required. The object ID of the worker\'s identity.')
param workerPrincipalId string

@description('Required. The object ID of the identity that the scale rule signs in with.')
param scalerPrincipalId string

@description('Optional. The object ID of a person or group that sends files, watches events and settles dead letters.')
param operatorPrincipalId string = ''

@description('Optional. What kind of principal the operator is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

var dataOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '090c5cfd-751d-490a-894a-3ce6f1109419')
var dataReceiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0')
var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39')

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource inbound 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [
  for queue in inboundQueues: {
    parent: namespace
    name: queue
  }
]

resource exports 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [
  for queue in exportQueues: {
    parent: namespace
    name: queue
  }
]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: namespace
  name: statusTopic
}

resource workerReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in inboundQueues: {
    scope: inbound[i]
    name: guid(inbound[i].id, workerPrincipalId, dataReceiver)
    properties: {
      principalId: workerPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: dataReceiver
    }
  }
]

resource workerPublishes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: topic
  name: guid(topic.id, workerPrincipalId, dataSender)
  properties: {
    principalId: workerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataSender
  }
}

resource workerExports 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in exportQueues: {
    scope: exports[i]
    name: guid(exports[i].id, workerPrincipalId, dataSender)
    properties: {
      principalId: workerPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: dataSender
    }
  }
]

// Counting messages is a management call, which needs the Manage claim; no built-in role below Data Owner has it. This
// is why the scale rule has an identity of its own, one that the container cannot use.
resource scalerCounts 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in inboundQueues: {
    scope: inbound[i]
    name: guid(inbound[i].id, scalerPrincipalId, dataOwner)
    properties: {
      principalId: scalerPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: dataOwner
    }
  }
]

resource operatorReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in inboundQueues: if (!empty(operatorPrincipalId)) {
    scope: inbound[i]
    name: guid(inbound[i].id, operatorPrincipalId, dataReceiver)
    properties: {
      principalId: operatorPrincipalId
      principalType: operatorPrincipalType
      roleDefinitionId: dataReceiver
    }
  }
]

resource operatorSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in inboundQueues: if (!empty(operatorPrincipalId)) {
    scope: inbound[i]
    name: guid(inbound[i].id, operatorPrincipalId, dataSender)
    properties: {
      principalId: operatorPrincipalId
      principalType: operatorPrincipalType
      roleDefinitionId: dataSender
    }
  }
]

resource operatorWatches 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  scope: topic
  name: guid(topic.id, operatorPrincipalId, dataReceiver)
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: dataReceiver
  }
}
