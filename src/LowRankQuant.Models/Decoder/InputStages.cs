using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder;

/// <summary>Slots that see one input, such as q, k and v, or gate and up of one expert.</summary>
/// <param name="Slots">Numbers of the slots.</param>
public sealed record InputSite(IReadOnlyList<int> Slots)
{
    /// <summary>Any of the slots, which stands for all of them.</summary>
    public int First => Slots[0];
}

/// <summary>Sites whose inputs are known as soon as all earlier stages are computed.</summary>
/// <param name="Sites">The sites; more than one where they do not depend on each other.</param>
public sealed record InputStage(IReadOnlyList<InputSite> Sites);

/// <summary>
/// Which slots of a block share an input, and the order in which inputs come to be: found by running the block once and looking, and by what parts of it
/// declare where one run may not show it.
/// </summary>
public static class InputStages
{
    /// <summary>Finds the stages.</summary>
    /// <param name="block">The block; observers of its slots are taken off.</param>
    /// <param name="run">Runs it once.</param>
    /// <exception cref="InvalidOperationException">A slot was not reached and is not declared.</exception>
    public static IReadOnlyList<InputStage> Find(IDecoderBlock block, Action run)
    {
        IReadOnlyList<LinearSlot> slots = block.Slots;
        Dictionary<int, SlotGroup> declared = block.DeclaredInputs.SelectMany(group => group.Slots.Select(slot => (slot, group))).ToDictionary(pair => pair.slot, pair => pair.group);
        var stages = new List<(List<InputSite> Sites, Tensor? Input, int? Declared)>();
        try
        {
            for (int i = 0; i < slots.Count; i++)
            {
                int slot = i;
                slots[slot].InputObserver = input => Reached(slot, input);
            }
            run();
        }
        finally
        {
            foreach (LinearSlot slot in slots) slot.InputObserver = null;
        }
        HashSet<int> found = [.. stages.SelectMany(stage => stage.Sites).SelectMany(site => site.Slots)];
        for (int i = 0; i < slots.Count; i++)
        {
            if (!found.Contains(i)) throw new InvalidOperationException($"{block.Name}.{slots[i].Name} was not reached by a forward pass.");
        }
        return [.. stages.Select(stage => new InputStage(stage.Sites))];

        void Reached(int slot, Tensor input)
        {
            if (declared.TryGetValue(slot, out SlotGroup? group))
            {
                // The first of a declared stage to be reached brings in all of it.
                if (stages.Exists(stage => stage.Declared == group.Stage)) return;
                stages.Add(([.. block.DeclaredInputs.Where(other => other.Stage == group.Stage).Select(other => new InputSite(other.Slots))], null, group.Stage));
                return;
            }
            int known = stages.FindIndex(stage => ReferenceEquals(stage.Input, input));
            if (known < 0) stages.Add(([new InputSite([slot])], input, null));
            else if (!stages[known].Sites[0].Slots.Contains(slot)) stages[known].Sites[0] = new InputSite([.. stages[known].Sites[0].Slots, slot]);
        }
    }

    /// <summary>Runs a block's forward pass no farther than to the inputs of a stage.</summary>
    /// <param name="block">The block.</param>
    /// <param name="stages">Its stages.</param>
    /// <param name="stage">Number of the one whose inputs are wanted.</param>
    /// <param name="wanted">The sites of the stage whose inputs are wanted; the others are not computed where they are experts by themselves.</param>
    /// <param name="observe">Given the number within the stage of every wanted site that is reached and its input, valid during the call.</param>
    /// <param name="run">Runs the block.</param>
    public static void RunTo(IDecoderBlock block, IReadOnlyList<InputStage> stages, int stage, Range wanted, Action<int, Tensor> observe, Action run)
    {
        IReadOnlyList<InputSite> sites = stages[stage].Sites;
        (int first, int count) = wanted.GetOffsetAndLength(sites.Count);
        // One site has been seen when its first slot is reached; of several, some may not be reached at all.
        IEnumerable<InputSite> ends = sites.Count == 1 ? [] : stages.Skip(stage + 1).SelectMany(next => next.Sites);
        List<LinearSlot> later = [.. ends.SelectMany(site => site.Slots).Select(slot => block.Slots[slot])], firsts = [.. sites.Skip(first).Take(count).Select(site => block.Slots[site.First])];
        List<LinearSlot> idle = [.. sites.Where((_, site) => site < first || site >= first + count).SelectMany(site => site.Slots).Select(slot => block.Slots[slot]).Where(slot => slot.IsExpert)];
        try
        {
            foreach (LinearSlot slot in idle) slot.IsIdle = true;
            foreach (LinearSlot slot in later) slot.InputObserver = _ => throw new StageReached();
            for (int i = 0; i < firsts.Count; i++)
            {
                int site = first + i;
                firsts[i].InputObserver = input =>
                {
                    observe(site, input);
                    if (sites.Count == 1) throw new StageReached();
                };
            }
            run();
        }
        catch (StageReached)
        {
            // What was wanted has been seen.
        }
        finally
        {
            foreach (LinearSlot slot in later.Concat(firsts)) slot.InputObserver = null;
            foreach (LinearSlot slot in idle) slot.IsIdle = false;
        }
    }

    private sealed class StageReached : Exception;
}
