package proto

// newBody returns a pointer to an empty body of the type, or nil for an unknown one.
func newBody(t CommandType) Body {
	switch t {
	case CmdFleetInit:
		return &FleetInit{}
	case CmdPolicyPut:
		return &PolicyPut{}
	case CmdIncarnationRaise:
		return &IncarnationRaise{}
	case CmdCoordinatorPut:
		return &CoordinatorPut{}
	case CmdCoordinatorRemove:
		return &CoordinatorRemove{}
	case CmdTick:
		return &Tick{}
	case CmdPause:
		return &Pause{}
	case CmdHostRegister:
		return &HostRegister{}
	case CmdHostHome:
		return &HostHome{}
	case CmdHostSet:
		return &HostSet{}
	case CmdHostDebt:
		return &HostDebt{}
	case CmdHostForget:
		return &HostForget{}
	case CmdHostSystem:
		return &HostSystem{}
	case CmdTypePut:
		return &TypePut{}
	case CmdTypeRemove:
		return &TypeRemove{}
	case CmdAppPut:
		return &AppPut{}
	case CmdAppRemove:
		return &AppRemove{}
	case CmdEventPut:
		return &EventPut{}
	case CmdEventRemove:
		return &EventRemove{}
	case CmdTokenCreate:
		return &TokenCreate{}
	case CmdTokenUse:
		return &TokenUse{}
	case CmdTokenRevoke:
		return &TokenRevoke{}
	case CmdCalendarPut:
		return &CalendarPut{}
	case CmdCalendarRemove:
		return &CalendarRemove{}
	case CmdCalendarPoll:
		return &CalendarPoll{}
	case CmdInstanceApply:
		return &InstanceApply{}
	case CmdInstanceAdopted:
		return &InstanceAdopted{}
	case CmdInstanceMode:
		return &InstanceMode{}
	case CmdInstanceRelease:
		return &InstanceRelease{}
	case CmdInstanceRemove:
		return &InstanceRemove{}
	case CmdReservationChange:
		return &ReservationChange{}
	case CmdMigrationStart:
		return &MigrationStart{}
	case CmdMigrationReturn:
		return &MigrationReturn{}
	case CmdMigrationAdvance:
		return &MigrationAdvance{}
	case CmdMigrationRecord:
		return &MigrationRecord{}
	case CmdMigrationFreeze:
		return &MigrationFreeze{}
	case CmdMigrationCommit:
		return &MigrationCommit{}
	case CmdMigrationConfirm:
		return &MigrationConfirm{}
	case CmdMigrationAbort:
		return &MigrationAbort{}
	case CmdMigrationThaw:
		return &MigrationThaw{}
	case CmdMigrationComplete:
		return &MigrationComplete{}
	case CmdMigrationEnd:
		return &MigrationEnd{}
	case CmdAcceptLoss:
		return &AcceptLoss{}
	case CmdMigrationPrune:
		return &MigrationPrune{}
	case CmdProbationEnd:
		return &ProbationEnd{}
	}
	return newPlanningBody(t)
}

// String returns the command's name as logs and audits show it: host-register, migration-commit, …
func (t CommandType) String() string {
	switch t {
	case CmdFleetInit:
		return "fleet-init"
	case CmdPolicyPut:
		return "policy-put"
	case CmdIncarnationRaise:
		return "incarnation-raise"
	case CmdCoordinatorPut:
		return "coordinator-put"
	case CmdCoordinatorRemove:
		return "coordinator-remove"
	case CmdTick:
		return "tick"
	case CmdPause:
		return "pause"
	case CmdHostRegister:
		return "host-register"
	case CmdHostHome:
		return "host-home"
	case CmdHostSet:
		return "host-set"
	case CmdHostDebt:
		return "host-debt"
	case CmdHostForget:
		return "host-forget"
	case CmdHostSystem:
		return "host-system"
	case CmdTypePut:
		return "type-put"
	case CmdTypeRemove:
		return "type-remove"
	case CmdAppPut:
		return "app-put"
	case CmdAppRemove:
		return "app-remove"
	case CmdEventPut:
		return "event-put"
	case CmdEventRemove:
		return "event-remove"
	case CmdTokenCreate:
		return "token-create"
	case CmdTokenUse:
		return "token-use"
	case CmdTokenRevoke:
		return "token-revoke"
	case CmdCalendarPut:
		return "calendar-put"
	case CmdCalendarRemove:
		return "calendar-remove"
	case CmdCalendarPoll:
		return "calendar-poll"
	case CmdInstanceApply:
		return "instance-apply"
	case CmdInstanceAdopted:
		return "instance-adopted"
	case CmdInstanceMode:
		return "instance-mode"
	case CmdInstanceRelease:
		return "instance-release"
	case CmdInstanceRemove:
		return "instance-remove"
	case CmdReservationChange:
		return "reservation-change"
	case CmdMigrationStart:
		return "migration-start"
	case CmdMigrationReturn:
		return "migration-return"
	case CmdMigrationAdvance:
		return "migration-advance"
	case CmdMigrationRecord:
		return "migration-record"
	case CmdMigrationFreeze:
		return "migration-freeze"
	case CmdMigrationCommit:
		return "migration-commit"
	case CmdMigrationConfirm:
		return "migration-confirm"
	case CmdMigrationAbort:
		return "migration-abort"
	case CmdMigrationThaw:
		return "migration-thaw"
	case CmdMigrationComplete:
		return "migration-complete"
	case CmdMigrationEnd:
		return "migration-end"
	case CmdAcceptLoss:
		return "accept-loss"
	case CmdMigrationPrune:
		return "migration-prune"
	case CmdProbationEnd:
		return "probation-end"
	}
	return t.planningString()
}

// Each body knows its command.

// Command returns CmdFleetInit.
func (FleetInit) Command() CommandType { return CmdFleetInit }

// Command returns CmdPolicyPut.
func (PolicyPut) Command() CommandType { return CmdPolicyPut }

// Command returns CmdIncarnationRaise.
func (IncarnationRaise) Command() CommandType { return CmdIncarnationRaise }

// Command returns CmdCoordinatorPut.
func (CoordinatorPut) Command() CommandType { return CmdCoordinatorPut }

// Command returns CmdCoordinatorRemove.
func (CoordinatorRemove) Command() CommandType { return CmdCoordinatorRemove }

// Command returns CmdTick.
func (Tick) Command() CommandType { return CmdTick }

// Command returns CmdPause.
func (Pause) Command() CommandType { return CmdPause }

// Command returns CmdHostRegister.
func (HostRegister) Command() CommandType { return CmdHostRegister }

// Command returns CmdHostHome.
func (HostHome) Command() CommandType { return CmdHostHome }

// Command returns CmdHostSet.
func (HostSet) Command() CommandType { return CmdHostSet }

// Command returns CmdHostDebt.
func (HostDebt) Command() CommandType { return CmdHostDebt }

// Command returns CmdHostForget.
func (HostForget) Command() CommandType { return CmdHostForget }

// Command returns CmdHostSystem.
func (HostSystem) Command() CommandType { return CmdHostSystem }

// Command returns CmdTypePut.
func (TypePut) Command() CommandType { return CmdTypePut }

// Command returns CmdTypeRemove.
func (TypeRemove) Command() CommandType { return CmdTypeRemove }

// Command returns CmdAppPut.
func (AppPut) Command() CommandType { return CmdAppPut }

// Command returns CmdAppRemove.
func (AppRemove) Command() CommandType { return CmdAppRemove }

// Command returns CmdEventPut.
func (EventPut) Command() CommandType { return CmdEventPut }

// Command returns CmdEventRemove.
func (EventRemove) Command() CommandType { return CmdEventRemove }

// Command returns CmdTokenCreate.
func (TokenCreate) Command() CommandType { return CmdTokenCreate }

// Command returns CmdTokenUse.
func (TokenUse) Command() CommandType { return CmdTokenUse }

// Command returns CmdTokenRevoke.
func (TokenRevoke) Command() CommandType { return CmdTokenRevoke }

// Command returns CmdCalendarPut.
func (CalendarPut) Command() CommandType { return CmdCalendarPut }

// Command returns CmdCalendarRemove.
func (CalendarRemove) Command() CommandType { return CmdCalendarRemove }

// Command returns CmdCalendarPoll.
func (CalendarPoll) Command() CommandType { return CmdCalendarPoll }

// Command returns CmdInstanceApply.
func (InstanceApply) Command() CommandType { return CmdInstanceApply }

// Command returns CmdInstanceAdopted.
func (InstanceAdopted) Command() CommandType { return CmdInstanceAdopted }

// Command returns CmdInstanceMode.
func (InstanceMode) Command() CommandType { return CmdInstanceMode }

// Command returns CmdInstanceRelease.
func (InstanceRelease) Command() CommandType { return CmdInstanceRelease }

// Command returns CmdInstanceRemove.
func (InstanceRemove) Command() CommandType { return CmdInstanceRemove }

// Command returns CmdReservationChange.
func (ReservationChange) Command() CommandType { return CmdReservationChange }

// Command returns CmdMigrationStart.
func (MigrationStart) Command() CommandType { return CmdMigrationStart }

// Command returns CmdMigrationReturn.
func (MigrationReturn) Command() CommandType { return CmdMigrationReturn }

// Command returns CmdMigrationAdvance.
func (MigrationAdvance) Command() CommandType { return CmdMigrationAdvance }

// Command returns CmdMigrationRecord.
func (MigrationRecord) Command() CommandType { return CmdMigrationRecord }

// Command returns CmdMigrationFreeze.
func (MigrationFreeze) Command() CommandType { return CmdMigrationFreeze }

// Command returns CmdMigrationCommit.
func (MigrationCommit) Command() CommandType { return CmdMigrationCommit }

// Command returns CmdMigrationConfirm.
func (MigrationConfirm) Command() CommandType { return CmdMigrationConfirm }

// Command returns CmdMigrationAbort.
func (MigrationAbort) Command() CommandType { return CmdMigrationAbort }

// Command returns CmdMigrationThaw.
func (MigrationThaw) Command() CommandType { return CmdMigrationThaw }

// Command returns CmdMigrationComplete.
func (MigrationComplete) Command() CommandType { return CmdMigrationComplete }

// Command returns CmdMigrationEnd.
func (MigrationEnd) Command() CommandType { return CmdMigrationEnd }

// Command returns CmdAcceptLoss.
func (AcceptLoss) Command() CommandType { return CmdAcceptLoss }

// Command returns CmdMigrationPrune.
func (MigrationPrune) Command() CommandType { return CmdMigrationPrune }

// Command returns CmdProbationEnd.
func (ProbationEnd) Command() CommandType { return CmdProbationEnd }
