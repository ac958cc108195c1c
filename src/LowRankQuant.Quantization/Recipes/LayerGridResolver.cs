using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>
/// The part of <see cref="RecipeResolver"/> that is about <c>layers NAME=GRID</c>: some layers of every block get a grid of their own, as the mixtures
/// of llama.cpp, GPTQModel (<c>dynamic</c>) and AutoRound (<c>extra_config</c>) have.
/// <code>
/// NAME   down_proj, or with its part of the block: mlp.down_proj
/// GRID   a two-level grid (q4_k), or BITS[:GROUP][:symmetric|asymmetric], where what is left out is that of the other layers
/// </code>
/// </summary>
internal sealed class LayerGridResolver
{
    private const string Form = "NAME=GRID, where GRID is the name of a two-level grid or BITS[:GROUP][:symmetric|asymmetric], such as down_proj=q4_k or v_proj=4:32:symmetric";

    private readonly Dictionary<string, string> _asked = new(StringComparer.Ordinal);
    private readonly IReadOnlyList<LinearShape> _linears;
    private readonly List<string> _problems;

    /// <param name="request">What was asked for.</param>
    /// <param name="budget">The budget that decides grids; null for none.</param>
    /// <param name="linears">The quantizable weights of a block.</param>
    /// <param name="problems">Receives what cannot be run.</param>
    public LayerGridResolver(RecipeRequest request, BitBudget? budget, IReadOnlyList<LinearShape> linears, List<string> problems)
    {
        (_linears, _problems) = (linears, problems);
        foreach (string item in request.LayerGrids) Ask(item.Trim());
        if (_asked.Count > 0 && budget is not null) problems.Add("`target_bits` chooses the width of every layer by itself; leave out `layers`.");
        Others = [.. linears.Where(linear => !_asked.ContainsKey(linear.Name))];
        HasTwoLevel = _asked.Values.Any(spelling => TwoLevelGrid.Find(spelling) is not null);
        if (HasTwoLevel && request.ScaleType is not (null or ScaleType.Float16))
            problems.Add("`scale_dtype` other than fp16 contradicts `layers` with a two-level grid, whose block scales are halves; leave it out.");
    }

    /// <summary>The layers that no item names.</summary>
    public IReadOnlyList<LinearShape> Others { get; }

    /// <summary>Whether an item asks for a two-level grid, whose scales are halves.</summary>
    public bool HasTwoLevel { get; }

    /// <summary>The grids of the layers that are named.</summary>
    /// <param name="usual">The grid of the others.</param>
    /// <param name="hasTarget">Whether a target will say by itself, with what would fit, where a grid does not divide rows.</param>
    public IReadOnlyDictionary<string, WeightGrid> Resolve(WeightGrid usual, bool hasTarget)
    {
        var grids = new Dictionary<string, WeightGrid>(StringComparer.Ordinal);
        foreach ((string name, string spelling) in _asked)
        {
            if (Parse(spelling, usual) is not { } grid)
            {
                _problems.Add($"`layers` {name}={spelling}: give {Form}.");
                continue;
            }
            int inFeatures = _linears.First(linear => linear.Name == name).InFeatures;
            if (!hasTarget && !grid.Divides(inFeatures)) _problems.Add($"`layers` {name}={spelling}: {grid} does not divide rows of {inFeatures}.");
            grids.Add(name, grid);
        }
        return grids;
    }

    private void Ask(string item)
    {
        int equals = item.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || equals == item.Length - 1)
        {
            _problems.Add($"`layers` {item}: give {Form}.");
            return;
        }
        string name = item[..equals].Trim();
        LinearShape[] named = [.. _linears.Where(linear => linear.Name == name || linear.Name.EndsWith("." + name, StringComparison.Ordinal))];
        if (named.Length == 0) _problems.Add($"`layers` {item}: the blocks of the model have no {name}; they have {string.Join(", ", _linears.Select(linear => linear.Name))}.");
        foreach (LinearShape linear in named)
        {
            if (!_asked.TryAdd(linear.Name, item[(equals + 1)..].Trim())) _problems.Add($"`layers` {item}: {linear.Name} has a grid already.");
        }
    }

    private static WeightGrid? Parse(string spelling, WeightGrid usual)
    {
        if (TwoLevelGrid.Find(spelling) is { } native) return native;
        string[] parts = spelling.ToLowerInvariant().Split(':');
        if (!Number(parts[0], UniformGrid.MinBits, UniformGrid.MaxBits, out int bits)) return null;
        (Granularity granularity, int size) = usual switch
        {
            UniformGrid uniform => (uniform.Granularity, uniform.GroupSize),
            TwoLevelGrid twoLevel => (Granularity.Group, twoLevel.GroupSize),
            _ => throw new ArgumentOutOfRangeException(nameof(usual), usual, "Unknown grid."),
        };
        bool symmetric = usual.Symmetric;
        foreach (string part in parts.AsSpan(1))
        {
            if (part is "symmetric" or "asymmetric") symmetric = part == "symmetric";
            else if (part == "channel") (granularity, size) = (Granularity.Channel, 0);
            else if (Number(part, 1, int.MaxValue, out int group)) (granularity, size) = (Granularity.Group, group);
            else return null;
        }
        return new UniformGrid(bits, symmetric, granularity, size);
    }

    private static bool Number(string text, int least, int most, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least && value <= most;
}
