-- The health of a Canary for Argo CD, in argocd-cm as
--   resource.customizations.health.flagger.app_Canary: |
-- A rollout that is under way is Progressing, one that failed Degraded.
local health = { status = "Progressing", message = "Waiting for the first pass" }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Suspended", message = "The Canary is suspended" }
end
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "Waiting for a pass to see the change"
  return health
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    health.message = status.reason or condition.message
    if condition.status == "True" then
      health.status = "Healthy"
    end
  end
  if condition.type == "Stalled" and condition.status == "True" then
    return { status = "Degraded", message = status.reason or condition.message }
  end
end
return health
