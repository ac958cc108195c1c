using System.Globalization;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>
/// The part of <see cref="RecipeResolver"/> that is about <c>layers</c>: some linears get a grid of their own, as the mixtures of llama.cpp, GPTQModel
/// (<c>dynamic</c>) and AutoRound (<c>extra_config</c>) have, and some none. Of several rules that match a linear the last counts.
/// <code>
/// PATTERN   see <see cref="LinearPattern"/>: down_proj, mlp.*, layers.0.*, re:layers\.(0|31)\.
/// GRID      a grid with a name (q4_k, mxfp4, q4_1), or BITS[:GROUP][:symmetric|asymmetric|affine], where what is left out is that of the other layers; or keep
/// </code>
/// </summary>
internal sealed class LayerGridResolver
{
    /// <summary>What a rule looks like.</summary>
    public const string Form =
        "PATTERN=GRID, where GRID is the name of a grid or BITS[:GROUP][:symmetric|asymmetric|affine], such as down_proj=q4_k, v_proj=4:32:symmetric or, with a float minimum per group, down_proj=4:64:affine, or keep for linears that stay in their own type";

    private readonly LayerSelection _selection;
    private readonly List<string> _problems;

    /// <param name="request">What was asked for.</param>
    /// <param name="budget">The budget that decides grids; null for none.</param>
    /// <param name="model">The model's linears.</param>
    /// <param name="problems">Receives what cannot be run.</param>
    public LayerGridResolver(RecipeRequest request, BitBudget? budget, ModelLayout model, List<string> problems)
    {
        _problems = problems;
        _selection = new LayerSelection(request.LayerRules, model, problems);
        if (budget is not null && request.LayerRules.Any(rule => !rule.Keeps))
            problems.Add("`target_bits` chooses the width of every layer by itself; leave out `layers`, but for those that keep.");
        HasTwoLevel = _selection.Used.Any(rule => TwoLevelGrid.Find(rule.Grid) is not null);
        if (HasTwoLevel && request.ScaleType is not (null or ScaleType.Float16))
            problems.Add("`scale_dtype` other than fp16 contradicts `layers` with a two-level grid, whose block scales are halves; leave it out.");
        HasHalves = HasTwoLevel || _selection.Used.Any(rule => AffineGrid.OfBlock(rule.Grid) is not null);
        if (HasHalves && !HasTwoLevel && request.ScaleType is not (null or ScaleType.Float16))
            problems.Add($"`scale_dtype` other than fp16 contradicts `layers` with a grid of {string.Join(" or ", AffineGrid.BlockNames)}, whose scales and minima are halves; leave it out.");
        Others = [.. Layout.Linears.SelectMany((block, i) => block.Where((_, j) => _selection.RuleOf(i, j) is null)).Distinct()];
    }

    /// <summary>Which linears are quantized; null where it is as the family has it.</summary>
    public LinearSelection? Selection => _selection.Chosen;

    /// <summary>The model with the linears that are quantized.</summary>
    public ModelLayout Layout => _selection.Layout;

    /// <summary>What is worth knowing, a sentence each.</summary>
    public IEnumerable<string> Notes => _selection.Notes();

    /// <summary>The kinds of linears that have the usual grid somewhere.</summary>
    public IReadOnlyList<LinearShape> Others { get; }

    /// <summary>Whether a rule asks for a two-level grid, whose scales are halves.</summary>
    public bool HasTwoLevel { get; }

    /// <summary>Whether a rule asks for a grid of llama.cpp's blocks, whose scales are halves.</summary>
    public bool HasHalves { get; }

    /// <summary>
    /// The linears with a grid of their own: under their name within the block where all blocks are alike, else under their module path, together with all others
    /// of their block, since some engines join linears of a block.
    /// </summary>
    /// <param name="usual">The grid of the others.</param>
    /// <param name="hasTarget">Whether a target will say by itself, with what would fit, where a grid does not divide rows.</param>
    public IReadOnlyList<(LinearShape Linear, WeightGrid Grid)> Resolve(WeightGrid usual, bool hasTarget)
    {
        var parsed = new Dictionary<LayerRule, WeightGrid>();
        foreach (LayerRule rule in _selection.Used)
        {
            if (Parse(rule.Grid, usual) is { } grid) parsed.Add(rule, grid);
            else _problems.Add($"`layers` {rule.Match}={rule.Grid}: give {Form}.");
        }
        if (!hasTarget) CheckRows(parsed);
        var alike = new Dictionary<LinearShape, WeightGrid>();
        foreach (IGrouping<LinearShape, WeightGrid> kind in Layout.Linears.SelectMany((block, i) => block.Select((linear, j) => (linear, Grid: GridOf(i, j)))).GroupBy(pair => pair.linear, pair => pair.Grid))
        {
            // A name alone would mean those of its kind that stay in their own type as well.
            if (kind.Distinct().Count() == 1 && !_selection.IsPartlyKept(kind.Key)) alike.Add(kind.Key, kind.First());
        }
        var own = alike.Where(kind => kind.Value != usual).Select(kind => (kind.Key, kind.Value)).ToList();
        for (int i = 0; i < Layout.Blocks.Count; i++)
        {
            IReadOnlyList<LinearShape> block = Layout.Linears[i];
            if (!block.Where((linear, j) => GridOf(i, j) != alike.GetValueOrDefault(linear, usual)).Any()) continue;
            own.AddRange(block.Select((linear, j) => (linear with { Name = $"{Layout.Blocks[i]}.{linear.Name}" }, GridOf(i, j))));
        }
        return own;

        WeightGrid GridOf(int block, int linear) => _selection.RuleOf(block, linear) is { } rule && parsed.TryGetValue(rule, out WeightGrid? grid) ? grid : usual;
    }

    private void CheckRows(Dictionary<LayerRule, WeightGrid> parsed)
    {
        var told = new HashSet<(LayerRule, int)>();
        for (int i = 0; i < Layout.Linears.Count; i++)
        {
            for (int j = 0; j < Layout.Linears[i].Count; j++)
            {
                int inFeatures = Layout.Linears[i][j].InFeatures;
                if (_selection.RuleOf(i, j) is not { } rule || !parsed.TryGetValue(rule, out WeightGrid? grid) || grid.Divides(inFeatures) || !told.Add((rule, inFeatures))) continue;
                _problems.Add($"`layers` {rule.Match}={rule.Grid}: {grid} does not divide rows of {inFeatures}.");
            }
        }
    }

    private static WeightGrid? Parse(string spelling, WeightGrid usual)
    {
        if (NamedGrids.Find(spelling) is { } native) return native;
        string[] parts = spelling.ToLowerInvariant().Split(':');
        if (!Number(parts[0], UniformGrid.MinBits, UniformGrid.MaxBits, out int bits)) return null;
        (Granularity granularity, int size) = NamedGrids.GroupsOf(usual);
        bool symmetric = usual.Symmetric;
        ZeroKind? zeros = usual is AffineGrid ? ZeroKind.Float : null;
        foreach (string part in parts.AsSpan(1))
        {
            if (part is "symmetric" or "asymmetric") (symmetric, zeros) = (part == "symmetric", null);
            else if (part == AffineGrid.Kind) zeros = ZeroKind.Float;
            else if (part == "channel") (granularity, size) = (Granularity.Channel, 0);
            else if (Number(part, 1, int.MaxValue, out int group)) (granularity, size) = (Granularity.Group, group);
            else return null;
        }
        if (zeros == ZeroKind.Float) return granularity == Granularity.Group ? new AffineGrid(bits, size) : null;
        return new UniformGrid(bits, symmetric, granularity, size);
    }

    private static bool Number(string text, int least, int most, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least && value <= most;
}
