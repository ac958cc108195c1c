using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>Preset, model and request make a recipe; whatever is wrong about the request is said at once, keys of the recipe in backticks.</summary>
public static class RecipeResolver
{
    /// <summary>Code width where nobody says.</summary>
    public const int UsualBits = 4;

    private const ulong UsualSeed = 42;

    /// <summary>Resolves a request for a model.</summary>
    /// <param name="catalog">The methods that there are.</param>
    /// <param name="request">What was asked for.</param>
    /// <param name="model">Sizes of the model.</param>
    /// <param name="layout">Its quantizable weights.</param>
    /// <param name="native">Type of scales when the request names none.</param>
    /// <exception cref="RecipeException">The request cannot be run; it lists everything that is wrong.</exception>
    public static ResolvedRecipe Resolve(MethodCatalog catalog, RecipeRequest request, DecoderConfig model, ModelLayout layout, ScaleType native)
    {
        ResolvedRecipe resolved = Examine(catalog, request, model, layout, native, []);
        return resolved.Problems.Count > 0 ? throw new RecipeException(resolved.Problems) : resolved;
    }

    /// <summary>As <see cref="Resolve"/>, for those who want to look at a recipe that cannot be run.</summary>
    /// <param name="catalog">The methods that there are.</param>
    /// <param name="request">What was asked for.</param>
    /// <param name="model">Sizes of the model.</param>
    /// <param name="layout">Its quantizable weights.</param>
    /// <param name="native">Type of scales when the request names none.</param>
    /// <param name="problems">Problems already found; receives the others.</param>
    public static ResolvedRecipe Examine(
        MethodCatalog catalog, RecipeRequest request, DecoderConfig model, ModelLayout layout, ScaleType native, List<string> problems)
    {
        var work = new Resolution(catalog, request, model, layout, problems);
        return new ResolvedRecipe(work.Resolve(native), work.Notes, problems);
    }

    /// <summary>Whether a request needs calibration text.</summary>
    public static bool NeedsText(MethodCatalog catalog, RecipeRequest request) =>
        BlockResolver.MethodsOf(catalog, request).Prepend(MethodOf(catalog, request)).Any(method => method.Needs.HasFlag(MethodNeeds.Calibration)) || ActivationResolver.NeedsText(catalog.Transforms, request);

    /// <summary>The method that a request names; the default where it names none, or none that there is.</summary>
    public static QuantizationMethod MethodOf(MethodCatalog catalog, RecipeRequest request) =>
        request.Method is { } name && catalog.TryFind(name, out QuantizationMethod? method) ? method : catalog.Default;

    private sealed class Resolution(MethodCatalog catalog, RecipeRequest asked, DecoderConfig model, ModelLayout all, List<string> problems)
    {
        private readonly NamedScheme? scheme = asked.Scheme is { } name ? NamedScheme.Find(name) : null;
        private readonly RecipeRequest request = OfScheme(asked, problems);

        // With the linears that are quantized, once that is known.
        private ModelLayout layout = all;
        private IReadOnlyList<LinearShape> linears = [];

        public List<string> Notes { get; } = [];

        private double Parameters => layout.LinearWeights + ((model.TiedEmbeddings ? 1.0 : 2.0) * model.VocabularySize * model.HiddenSize);

        public Recipe Resolve(ScaleType native)
        {
            string preset = Preset();
            if (request.Method is { } named && !catalog.TryFind(named, out _)) problems.Add($"`method` {named}: unknown; the methods are {catalog.Names}.");
            QuantizationMethod method = MethodOf(catalog, request);
            RefuseForeignOptions(method, request.Options, problems);
            RefuseWithoutText(method);
            var values = new OptionValues(request.Options, method.Options, problems);
            BitBudget? budget = method.Budget(values);
            bool blocks = request.Target == Target.LlamaCpp && budget is { ChoosesGrids: true };
            var rules = new LayerGridResolver(request, budget, layout, problems);
            (layout, linears) = (rules.Layout, rules.Layout.Kinds);
            Notes.AddRange(rules.Notes);
            var target = new TargetResolver(request, budget, layout, problems, Notes);
            TargetRecipe? engine = target.Options();
            WeightGrid? byName = new NamedGridResolver(request, budget, rules.Others, problems).Resolve();
            bool halves = byName is TwoLevelGrid || rules.HasHalves || (request.Grid is { } block && AffineGrid.OfBlock(block) is not null);
            ScaleType scaleType = halves ? ScaleType.Float16 : target.ScaleTypeFor(native);
            bool symmetric = byName?.Symmetric ?? request.Symmetric ?? blocks;
            int before = problems.Count;
            var groups = new GroupResolver(request, method, problems);
            (Granularity granularity, int groupSize) = byName is null ? groups.Resolve(rules.Others, blocks) : NamedGrids.GroupsOf(byName);
            bool minima = byName is null && groups.HasMinima(granularity, budget is not null);
            // Where a budget decides, the width of the baseline is the largest that fits it.
            int usual = budget is { } whole && problems.Count == before
                ? LargestWidth(whole.TargetBits, new UniformGrid(UniformGrid.MinBits, symmetric, granularity, groupSize), scaleType)
                : UsualBits;
            int bits = byName?.Bits ?? request.Bits ?? usual;
            if (bits is < UniformGrid.MinBits or > UniformGrid.MaxBits) problems.Add($"`bits` {bits}: must be {UniformGrid.MinBits} to {UniformGrid.MaxBits} (bits per code).");
            WeightGrid grid = byName ?? (minima && budget is null && granularity == Granularity.Group && groupSize > 0 && bits is >= UniformGrid.MinBits and <= UniformGrid.MaxBits
                ? new AffineGrid(bits, groupSize) : new UniformGrid(bits, symmetric, granularity, groupSize));
            IReadOnlyList<(LinearShape Linear, WeightGrid Grid)> own = rules.Resolve(grid, request.Target is not null);
            (int? digits, IReadOnlyDictionary<string, LayerGrid>? layers) = problems.Count == before ? target.Resolve(grid, own, scaleType) : (null, null);
            WindowDefaults windows = new WindowResolver(request, NeedsText(catalog, asked), model, problems, Notes).Resolve(method.Windows(values, preset));
            if (!request.HasCalibration && BlockResolver.MethodsOf(catalog, request).Prepend(method).FirstOrDefault(used => used.Needs.HasFlag(MethodNeeds.Calibration)) is { } learning)
                problems.Add($"method {learning.Name} learns from text: give `calibration` FILE, or `calibration` self.");
            var inputs = new ActivationResolver(catalog.Transforms, request, scheme, layout, problems);
            (ActivationRecipe? activations, CacheRecipe? cache, IReadOnlyList<TransformSettings> transforms) = (inputs.Activations(), inputs.Cache(), inputs.Transforms());
            ulong seed = request.Seed ?? UsualSeed;
            MethodSettings settings = Settings(method, values, grid, problems, Notes);
            inputs.Check(activations, cache, transforms, settings, [.. linears.Select(OwnGrid).Distinct()]);
            CheckFloats(method, [.. linears.Select(OwnGrid).Distinct()]);
            CheckMinima(method, [.. linears.Select(OwnGrid).Distinct()]);
            var recipe = new Recipe
            {
                Method = settings,
                Blocks = new BlockResolver(catalog, request, layout.Blocks.Count, problems).Resolve(method, settings, seed, OfBlock),
                Activations = activations,
                Cache = cache,
                Transforms = transforms,
                Preset = preset,
                Bits = bits,
                Granularity = granularity,
                GroupSize = groupSize,
                Symmetric = symmetric,
                ScaleType = scaleType,
                NamedGrid = NamedGrids.NameOf(grid),
                ScaleDigits = digits,
                Layers = layers,
                Selection = rules.Selection,
                Target = engine,
                Precision = request.Precision ?? Precision.Single,
                Seed = seed,
                Samples = windows.Samples,
                HeldOut = windows.HeldOut,
                SequenceLength = windows.SequenceLength,
                Vocabulary = new VocabularyResolver(request, layout.Vocabulary, problems, Notes).Resolve(grid, blocks, scaleType),
                Tuning = new TuningResolver(request, method, problems, Notes).Resolve(
                    bits, blocks ? Names(linears) : Names(linears.Where(linear => OwnGrid(linear) is not UniformGrid)), linears.Any(linear => OwnGrid(linear) is AffineGrid), linears.Count, layout.LinearWeights, windows.Samples, windows.HeldOut),
            };
            if (request.AssistantOnly) MaskResolver.Check(catalog, recipe, linears, problems);
            return recipe;

            MethodSettings Settings(QuantizationMethod how, OptionValues asked, WeightGrid its, List<string> wrong, List<string> notes) => how.Resolve(new MethodRequest
            {
                Values = asked,
                Preset = preset,
                Grid = its,
                AllTwoLevel = linears.Count > 0 && linears.All(IsTwoLevel),
                AnyTwoLevel = linears.Any(IsTwoLevel),
                EngineBlocks = blocks,
                Target = request.Target,
                ScaleType = scaleType,
                Quantizes = activations is { Grid.IsDynamic: false } ? QuantizedInputs.Static : activations is not null || cache is not null ? QuantizedInputs.Dynamic : QuantizedInputs.None,
                Linears = linears,
                Parameters = Parameters,
                Samples = windows.Samples,
                HeldOut = windows.HeldOut,
                Problems = wrong,
                Notes = notes,
            });

            // A block that has a way of its own; what it is worth noting is noted of the others.
            MethodSettings OfBlock(QuantizationMethod how, IReadOnlyDictionary<string, string> asked, int block, List<string> wrong)
            {
                RefuseForeignOptions(how, asked, wrong);
                MethodSettings own = Settings(how, new OptionValues(asked, how.Options, wrong), GridOf(block), wrong, []);
                ActivationResolver.CheckMethod(activations, transforms, own, wrong);
                return own;
            }

            // Values that nobody gives go by the grid; that of a block whose linears do not all have one is that of most blocks.
            WeightGrid GridOf(int block)
            {
                LayerGrid?[] own = [.. layout.Linears[block].Select(linear => layers?.GetValueOrDefault($"{layout.Blocks[block]}.{linear.Name}")).Distinct()];
                return own is [{ } one] ? one.ToGrid() : grid;
            }

            WeightGrid OwnGrid(LinearShape linear) => layers is not null && layers.TryGetValue(linear.Name, out LayerGrid? its) ? its.ToGrid() : grid;

            bool IsTwoLevel(LinearShape linear) => OwnGrid(linear) is TwoLevelGrid;
        }

        // Grids of layers that differ from block to block are among them.
        private void CheckFloats(QuantizationMethod method, IReadOnlyList<WeightGrid> grids)
        {
            if (grids.OfType<FloatGrid>().FirstOrDefault() is not { } floats) return;
            foreach (QuantizationMethod used in BlockResolver.MethodsOf(catalog, request).Prepend(method).Where(used => !used.TakesFloatGrids).DistinctBy(used => used.Name))
                problems.Add($"method {used.Name} works on integers; {floats}, a grid of floats, goes with {string.Join(", ", catalog.Methods.Where(other => other.TakesFloatGrids).Select(other => other.Name))}.");
            if (grids.Any(grid => grid is TwoLevelGrid)) problems.Add($"grids of two levels and of floats ({floats}) are not stored in one result; choose one kind.");
        }

        private void CheckMinima(QuantizationMethod method, IReadOnlyList<WeightGrid> grids)
        {
            if (grids.OfType<AffineGrid>().FirstOrDefault() is not { } affine) return;
            foreach (QuantizationMethod used in BlockResolver.MethodsOf(catalog, request).Prepend(method).Where(used => !used.TakesAffineGrids).DistinctBy(used => used.Name))
                problems.Add($"method {used.Name} does not work with float minima ({affine}); give `zeros` integer, or one of {string.Join(", ", catalog.Methods.Where(other => other.TakesAffineGrids).Select(other => other.Name))}.");
        }

        private static string[] Names(IEnumerable<LinearShape> linears) => [.. linears.Select(linear => linear.Name)];

        // What a scheme gives where nothing else says it; what contradicts it is told.
        private static RecipeRequest OfScheme(RecipeRequest request, List<string> problems)
        {
            if (request.Scheme is not { } name) return request;
            if (NamedScheme.Find(name) is not { } scheme)
            {
                problems.Add($"`scheme` {name}: unknown; the schemes are {NamedScheme.Names}, each perhaps with -gN for groups of N weights.");
                return request;
            }
            if (request.Bits is { } bits && bits != scheme.Bits) problems.Add($"`bits` {bits} contradicts `scheme` {name}, which has {scheme.Bits}; leave one of them out.");
            if (request.Grid is not null && !request.Grid.Equals(scheme.Grid?.Name, StringComparison.OrdinalIgnoreCase))
                problems.Add($"`grid` {request.Grid} contradicts `scheme` {name}, which has {scheme.Grid?.ToString() ?? "uniform grids"}; leave one of them out.");
            if (scheme.GroupSize is { } size && (request.Granularity is Granularity.Channel or Granularity.Tensor || (request.GroupSize is { } other && other != size)))
                problems.Add($"`group_size` contradicts `scheme` {name}, which has groups of {size}; leave one of them out.");
            if (scheme.Grid is { } floats) return request with { Grid = floats.Name };
            return request with
            {
                Bits = request.Bits ?? scheme.Bits,
                Symmetric = request.Symmetric ?? scheme.Symmetric,
                GroupSize = request.GroupSize ?? (request.Granularity is null ? scheme.GroupSize : null),
            };
        }

        private string Preset()
        {
            string preset = (request.Preset ?? PresetNames.Fast).ToLowerInvariant();
            if (PresetNames.All.Any(known => known.Key == preset)) return preset;
            problems.Add($"`preset` {request.Preset}: unknown; the presets are {string.Join(", ", PresetNames.All.Select(known => known.Key))}.");
            return PresetNames.Fast;
        }

        private void RefuseForeignOptions(QuantizationMethod method, IReadOnlyDictionary<string, string> options, List<string> wrong)
        {
            foreach (string key in options.Keys.Where(key => method.Options.All(option => option.Key != key)))
            {
                string[] others = [.. catalog.Taking(key).Select(other => other.Name)];
                wrong.Add(others.Length == 0
                    ? $"`{key}` is no option of any method; those of {method.Name} are {string.Join(", ", method.Options.Select(option => option.Key))}."
                    : $"`{key}` does not apply to method {method.Name}; it is an option of {string.Join(", ", others)}.");
            }
        }

        private void RefuseWithoutText(QuantizationMethod method)
        {
            if (NeedsText(catalog, asked) || request.HasCalibration) return;
            string measured = $"{method.Name} uses calibration text only to measure on its held-out windows; give `calibration` too, or leave it out";
            Refuse("samples", request.Samples is not null, measured);
            Refuse("held_out", request.HeldOut is not null, measured);
            Refuse("sequence_length", request.SequenceLength is not null, measured);
            if (request.TuneSteps > 0) return;
            Refuse("preset", request.Preset is not null, "without `calibration` no value comes from a preset; leave it out");

            void Refuse(string key, bool given, string why)
            {
                if (given) problems.Add($"`{key}` does not apply to method {method.Name}: {why}.");
            }
        }

        // The largest width that all layers could have within a budget; the smallest there is when none fits.
        private int LargestWidth(double target, UniformGrid grid, ScaleType scaleType)
        {
            int bits = UniformGrid.MaxBits;
            while (bits > UniformGrid.MinBits && !(Bits(bits) <= target)) bits--;
            return bits;

            double Bits(int width)
            {
                double stored = 0, weights = 0;
                foreach (LinearShape linear in linears)
                {
                    stored += (grid with { Bits = width }).StoredBits(linear.OutFeatures, linear.InFeatures, scaleType);
                    weights += (double)linear.OutFeatures * linear.InFeatures;
                }
                return stored / weights;
            }
        }
    }
}
