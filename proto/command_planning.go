package proto

import "fmt"

// newPlanningBody is the second half of newBody: what concerns capacity over time, plans and notices.
func newPlanningBody(t CommandType) Body {
	switch t {
	case CmdHostWindow:
		return &HostWindow{}
	case CmdHostDrain:
		return &HostDrain{}
	case CmdTypeRevise:
		return &TypeRevise{}
	case CmdAppRevise:
		return &AppRevise{}
	case CmdAdmit:
		return &Admit{}
	case CmdNotice:
		return &NoticePut{}
	case CmdPlanPut:
		return &PlanPut{}
	case CmdPlanChange:
		return &PlanChange{}
	case CmdPlanBegin:
		return &PlanBegin{}
	case CmdMigrationAdmit:
		return &MigrationAdmit{}
	case CmdMigrationLearned:
		return &MigrationLearned{}
	}
	return nil
}

// planningString is the second half of String.
func (t CommandType) planningString() string {
	switch t {
	case CmdHostWindow:
		return "host-window"
	case CmdHostDrain:
		return "host-drain"
	case CmdTypeRevise:
		return "type-revise"
	case CmdAppRevise:
		return "app-revise"
	case CmdAdmit:
		return "admit"
	case CmdNotice:
		return "notice"
	case CmdPlanPut:
		return "plan-put"
	case CmdPlanChange:
		return "plan-change"
	case CmdPlanBegin:
		return "plan-begin"
	case CmdMigrationAdmit:
		return "migration-admit"
	case CmdMigrationLearned:
		return "migration-learned"
	}
	return fmt.Sprintf("command(%d)", uint8(t))
}

// Command returns CmdHostWindow.
func (HostWindow) Command() CommandType { return CmdHostWindow }

// Command returns CmdHostDrain.
func (HostDrain) Command() CommandType { return CmdHostDrain }

// Command returns CmdTypeRevise.
func (TypeRevise) Command() CommandType { return CmdTypeRevise }

// Command returns CmdAppRevise.
func (AppRevise) Command() CommandType { return CmdAppRevise }

// Command returns CmdAdmit.
func (Admit) Command() CommandType { return CmdAdmit }

// Command returns CmdNotice.
func (NoticePut) Command() CommandType { return CmdNotice }

// Command returns CmdPlanPut.
func (PlanPut) Command() CommandType { return CmdPlanPut }

// Command returns CmdPlanChange.
func (PlanChange) Command() CommandType { return CmdPlanChange }

// Command returns CmdPlanBegin.
func (PlanBegin) Command() CommandType { return CmdPlanBegin }

// Command returns CmdMigrationAdmit.
func (MigrationAdmit) Command() CommandType { return CmdMigrationAdmit }

// Command returns CmdMigrationLearned.
func (MigrationLearned) Command() CommandType { return CmdMigrationLearned }
