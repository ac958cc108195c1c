using LowRankQuant.Formats.Peft;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Branches of linears that a folder stores as one linear, joined to one branch of it: the rows of A one below the other, and in B every part's rows under its own
/// columns, with zeros beside them. The product is the same; it takes more bytes than its parts.
/// </summary>
public static class FusedBranches
{
    /// <summary>Joins branches.</summary>
    /// <param name="modules">The model's linears, by their module paths; those of rank 0 too.</param>
    /// <param name="fused">The stored linear that a linear goes into; null where it stays by itself.</param>
    /// <returns>The stored linears, each where its first part stood.</returns>
    public static List<AdapterModule> Join(IEnumerable<AdapterModule> modules, Func<string, FusedModule?> fused)
    {
        AdapterModule[] all = [.. modules];
        Dictionary<string, AdapterModule> byName = all.ToDictionary(module => module.Module, StringComparer.Ordinal);
        var joined = new List<AdapterModule>();
        var done = new HashSet<string>(StringComparer.Ordinal);
        foreach (AdapterModule module in all)
        {
            if (fused(module.Module) is not { } whole) joined.Add(module);
            else if (done.Add(whole.Name)) joined.Add(Join(whole, [.. whole.Parts.Select(part => byName.GetValueOrDefault(part.Module))]));
        }
        return joined;
    }

    // A part that is not there has no branch.
    private static AdapterModule Join(FusedModule whole, AdapterModule?[] parts)
    {
        int rank = parts.Sum(part => part?.Rank ?? 0), columns = whole.InFeatures;
        return new AdapterModule(whole.Name, whole.OutFeatures, columns, rank, LoadA, LoadB);

        float[] LoadA()
        {
            var a = new float[rank * columns];
            int first = 0;
            foreach (AdapterModule? part in parts)
            {
                if (part is not { Rank: > 0 }) continue;
                part.LoadA().CopyTo(a.AsSpan(first * columns));
                first += part.Rank;
            }
            return a;
        }

        float[] LoadB()
        {
            var b = new float[whole.OutFeatures * rank];
            int first = 0;
            for (int i = 0; i < parts.Length; i++)
            {
                if (parts[i] is not { Rank: > 0 } part) continue;
                float[] own = part.LoadB();
                for (int row = 0; row < part.OutFeatures; row++)
                    own.AsSpan(row * part.Rank, part.Rank).CopyTo(b.AsSpan((whole.Parts[i].View.Pattern.Of(row) * rank) + first));
                first += part.Rank;
            }
            return b;
        }
    }
}
