metadata name = 'Types'
metadata description = 'Types shared by the modules.'

@export()
@description('A subscription of the status topic.')
type subscriptionType = {
  @description('Required. The name of the subscription.')
  name: string

  @description('Required. SQL filter over the application properties of status events: status, reason, entity, company, environment. 1=1 lets everything through.')
  filter: string

  @description('Optional. Whether its reader takes sessions and so sees the events of one lane in order.')
  requiresSession: bool?
}
