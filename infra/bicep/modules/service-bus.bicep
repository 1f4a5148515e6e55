metadata name = 'Service Bus'
metadata description = 'The namespace with the session queues, the queues of exports, and the status topic with its filtered subscriptions. No keys: local authentication is off.'

import { subscriptionType } from 'types.bicep'

@description('Required. The name of the namespace, unique in Azure.')
@minLength(6)
@maxLength(50)
param name string

@description('Required. The region.')
param location string

@description('Optional. Tags of the namespace.')
param tags object = {}

@description('Optional. The tier. Premium brings messages over 256 KB, private endpoints and isolation.')
@allowed(['Standard', 'Premium'])
param skuName string = 'Standard'

@description('Optional. Messaging units; Premium only.')
@allowed([1, 2, 4, 8, 16])
param capacity int = 1

@description('Optional. Whether the namespace can be reached from the Internet. Disabled needs Premium and private endpoints.')
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string = 'Enabled'

@description('Required. The session queues that the bridge reads.')
param inboundQueues string[]

@description('Required. The queues that take exports; may be empty.')
param exportQueues string[]

@description('Required. The topic that takes the status events.')
param statusTopic string

@description('Required. The subscriptions of the status topic.')
param subscriptions subscriptionType[]

@description('Required. The resource ID of the Log Analytics workspace for diagnostics.')
param workspaceResourceId string

@description('Optional. The lock of the session queues. serviceBus.lock in bridge.yaml must not be longer.')
param lockDuration string = 'PT5M'

@description('Optional. How long a message ID is remembered. A repeat within this time is dropped by the broker.')
param duplicateDetectionWindow string = 'P1D'

@description('Optional. How long a message waits before it expires into the dead-letter queue.')
param timeToLive string = 'P14D'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: skuName
    tier: skuName
    capacity: skuName == 'Premium' ? capacity : null
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
  }
}

resource inbound 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [
  for queue in inboundQueues: {
    parent: namespace
    name: queue
    properties: {
      requiresSession: true // cannot be changed later
      requiresDuplicateDetection: true // cannot be changed later
      duplicateDetectionHistoryTimeWindow: duplicateDetectionWindow
      lockDuration: lockDuration
      defaultMessageTimeToLive: timeToLive
      deadLetteringOnMessageExpiration: true
      // The bridge counts attempts itself and settles what it gives up. The broker's count rises only when a lock
      // expires, as after a crash; it must not dead-letter a good file because a replica crashed ten times.
      maxDeliveryCount: 100
    }
  }
]

resource exports 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [
  for queue in exportQueues: {
    parent: namespace
    name: queue
    properties: {
      requiresDuplicateDetection: true // F&O gives an export again when the acknowledgement was lost
      duplicateDetectionHistoryTimeWindow: duplicateDetectionWindow
      lockDuration: lockDuration
      defaultMessageTimeToLive: timeToLive
      deadLetteringOnMessageExpiration: true
    }
  }
]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: namespace
  name: statusTopic
  properties: {
    requiresDuplicateDetection: true // an event published twice is seen once
    duplicateDetectionHistoryTimeWindow: duplicateDetectionWindow
    supportOrdering: true
    defaultMessageTimeToLive: timeToLive
  }
}

resource subscription 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = [
  for item in subscriptions: {
    parent: topic
    name: item.name
    properties: {
      requiresSession: item.?requiresSession ?? false
      lockDuration: 'PT1M'
      maxDeliveryCount: 10
      deadLetteringOnMessageExpiration: true
      deadLetteringOnFilterEvaluationExceptions: true
    }
  }
]

// A new subscription comes with a rule $Default that lets everything through. A rule of any other name would be added
// to it, and the filter would filter nothing.
resource rule 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2024-01-01' = [
  for (item, i) in subscriptions: {
    parent: subscription[i]
    name: '$Default'
    properties: {
      filterType: 'SqlFilter'
      sqlFilter: {
        sqlExpression: item.filter
      }
    }
  }
]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: namespace
  name: 'log-analytics'
  properties: {
    workspaceId: workspaceResourceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

@description('The resource ID of the namespace.')
output resourceId string = namespace.id

@description('The name of the namespace.')
output name string = namespace.name

@description('The region of the namespace.')
output location string = namespace.location

@description('The host name of the namespace, as bridge.yaml wants it.')
output hostName string = split(split(namespace.properties.serviceBusEndpoint, '//')[1], ':')[0]
