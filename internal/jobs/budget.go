package jobs

import (
	"context"
	"fmt"
)

// BudgetError: Postgres does not allow the node's connections.
type BudgetError struct{ Need, Max, Used int }

func (e *BudgetError) Error() string {
	return fmt.Sprintf("this node may need %d database connections and Postgres allows %d in all, %d are in use: "+
		"lower PoolSize (DATABASE_POOL_SIZE), or raise max_connections or the limit of the role or the database", e.Need, e.Max, e.Used)
}

// checkBudget fails when the node could never have its connections, and warns
// when it cannot have them now.
func (j *Jobs) checkBudget(ctx context.Context) error {
	limits, err := j.queries.ConnectionLimits(ctx, j.schema.In(j.config.Pool))
	if err != nil {
		return fmt.Errorf("reading the limits of connections: %w", err)
	}
	budget := &BudgetError{Need: j.config.Connections, Max: int(limits.MaxConnections), Used: int(limits.Used)}
	switch {
	case budget.Need > budget.Max:
		return budget
	case budget.Need > budget.Max-budget.Used:
		j.config.Logger.Warn("Postgres may run out of connections", "needed", budget.Need, "allowed", budget.Max, "used", budget.Used)
	}
	return nil
}
