-- ARGV: a tenant. Returns how many jobs of it the lane holds.
load_tenants({ARGV[1]})
return touched[ARGV[1]].active + touched[ARGV[1]].waiting
