using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Pipeline.Budget;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Preset, model and request make a recipe; whatever is wrong about the request is said at once.</summary>
public static class RecipeResolver
{
    /// <summary>Resolves a request for a model.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="model">Sizes of the model.</param>
    /// <param name="layout">Its quantizable weights.</param>
    /// <param name="native">Type of scales when the request names none.</param>
    /// <param name="problems">Problems already found in the request, such as values that are no numbers.</param>
    /// <exception cref="RecipeException">The request cannot be run; it lists everything that is wrong.</exception>
    public static ResolvedRecipe Resolve(
        RecipeRequest request, DecoderConfig model, ModelLayout layout, ScaleType native, IReadOnlyList<string>? problems = null)
    {
        ResolvedRecipe resolved = Examine(request, model, layout, native, [.. problems ?? []]);
        return resolved.Problems.Count > 0 ? throw new RecipeException(resolved.Problems) : resolved;
    }

    /// <summary>As <see cref="Resolve"/>, for those who want to look at a recipe that cannot be run.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="model">Sizes of the model.</param>
    /// <param name="layout">Its quantizable weights.</param>
    /// <param name="native">Type of scales when the request names none.</param>
    /// <param name="problems">Problems already found; receives the others.</param>
    public static ResolvedRecipe Examine(
        RecipeRequest request, DecoderConfig model, ModelLayout layout, ScaleType native, List<string> problems)
    {
        var work = new Resolution(request, model, layout, problems);
        return new ResolvedRecipe(work.Resolve(native), work.Notes, problems);
    }

    private sealed class Resolution(RecipeRequest request, DecoderConfig model, ModelLayout layout, List<string> problems)
    {
        private readonly IReadOnlyList<LinearShape> linears = layout.Kinds;

        // Shorter windows than this say little about a model; text is cut to fewer windows first.
        private const int ShortestBundledWindow = 64;

        public List<string> Problems => problems;

        public List<string> Notes { get; } = [];

        private double Parameters => layout.LinearWeights + ((model.TiedEmbeddings ? 1.0 : 2.0) * model.VocabularySize * model.HiddenSize);

        public Recipe Resolve(ScaleType native)
        {
            string presetName = (request.Preset ?? Presets.Fast).ToLowerInvariant();
            Preset? known = Presets.Find(presetName);
            if (known is null) Problems.Add($"--preset {request.Preset}: unknown; the presets are {string.Join(", ", RecipeNames.Presets)}.");
            Preset preset = known ?? Presets.Find(Presets.Fast)!;
            QuantizationMethod method = Method();
            var target = new TargetResolver(request, linears, Problems, Notes);
            TargetRecipe? engine = target.Options();
            var named = new LayerGridResolver(request, linears, Problems);
            TwoLevelGrid? twoLevel = new TwoLevelResolver(request, named.Others, Problems).Resolve();
            ScaleType scaleType = twoLevel is null && !named.HasTwoLevel ? target.ScaleTypeFor(native) : ScaleType.Float16;
            bool blocks = BudgetGrids.AreBlocks(request);
            bool symmetric = twoLevel?.Symmetric ?? request.Symmetric ?? blocks;
            int before = Problems.Count;
            (Granularity granularity, int groupSize) = twoLevel is null ? Grid(method, named.Others, blocks) : (Granularity.Group, twoLevel.GroupSize);
            // Where a budget decides, the width of the baseline is the largest that fits it.
            int usual = request.Correction.TargetBits is { } budget && Problems.Count == before
                ? CorrectionResolver.LargestWidth(budget, new UniformGrid(UniformGrid.MinBits, symmetric, granularity, groupSize), scaleType, linears)
                : Presets.DefaultBits;
            int bits = twoLevel?.Bits ?? Range("--bits", request.Bits ?? usual, UniformGrid.MinBits, UniformGrid.MaxBits, "bits per code");
            WeightGrid grid = twoLevel is null ? new UniformGrid(bits, symmetric, granularity, groupSize) : twoLevel;
            IReadOnlyDictionary<string, WeightGrid> own = named.Resolve(grid, request.Target is not null);
            (int? digits, IReadOnlyDictionary<string, LayerGrid>? layers) = Problems.Count == before ? target.Resolve(grid, own, scaleType) : (null, null);
            bool corrects = CorrectionResolver.Covers(method), learnsResidual = corrects && CorrectionResolver.LearnsResidual(request);
            bool trains = (method != QuantizationMethod.Rtn && !corrects) || learnsResidual;
            (double rate, GridStart start) = Presets.RateAndStart(presetName, method, grid, Parameters, learnsResidual);
            RefuseForeignOptions(method);
            Windows windows = Data(method, preset);
            if (method != QuantizationMethod.Rtn && !request.HasCalibration)
                Problems.Add($"method {RecipeNames.Of(RecipeNames.Methods, method)} learns from text: give --calibration FILE, or --calibration self.");
            if (request.Start is not null && !corrects && linears.Count > 0 && linears.All(IsTwoLevel))
                Problems.Add("--start does not apply to two-level grids: their integers are always searched for; leave it out.");
            var correction = new CorrectionResolver(request, method, linears, Problems, Notes);
            if (!corrects) correction.RefuseAll();
            return new Recipe
            {
                Method = method,
                Preset = presetName,
                Bits = bits,
                Granularity = granularity,
                GroupSize = groupSize,
                Symmetric = symmetric,
                Start = request.Start ?? start,
                ScaleType = scaleType,
                TwoLevelGrid = twoLevel?.Name,
                ScaleDigits = digits,
                Layers = layers,
                Target = engine,
                Rank = method == QuantizationMethod.Lrq ? Rank("--rank", request.Rank, presetName)
                    : learnsResidual ? Rank("--residual-rank", request.Correction.ResidualRank, presetName) : 0,
                Iterations = trains ? AtLeast("--iterations", request.Iterations ?? preset.Iterations, 0, "Adam steps per block") : 0,
                LearningRate = trains ? LearningRate(rate) : 0,
                Batch = trains ? Batch(preset, windows.Samples) : 1,
                Loss = trains ? request.Loss ?? preset.Loss : Methods.Reconstruction.LossWeighting.Plain,
                KeepBest = trains && KeepBest(preset, windows.HeldOut),
                Restarts = trains ? preset.Restarts : null,
                Seed = request.Seed ?? Presets.DefaultSeed,
                Samples = windows.Samples,
                HeldOut = windows.HeldOut,
                SequenceLength = windows.Length,
                Correction = corrects ? correction.Resolve(grid, scaleType, windows.HeldOut) : null,
                Vocabulary = new VocabularyResolver(request, layout.Vocabulary, Problems, Notes).Resolve(grid, BudgetGrids.AreBlocks(request), scaleType),
                Tuning = new TuningResolver(request, method, Problems, Notes).Resolve(
                    bits, blocks ? Names(linears) : Names(linears.Where(IsTwoLevel)), linears.Count, windows.Samples, windows.HeldOut),
            };

            bool IsTwoLevel(LinearShape linear) =>
                layers is not null && layers.TryGetValue(linear.Name, out LayerGrid? its) ? its.TwoLevelGrid is not null : twoLevel is not null;
        }

        private static string[] Names(IEnumerable<LinearShape> linears) => [.. linears.Select(linear => linear.Name)];

        private readonly record struct Windows(int Samples, int HeldOut, int Length);

        private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

        private QuantizationMethod Method()
        {
            if (request.Method is null) return Presets.DefaultMethod;
            if (RecipeNames.Parse(RecipeNames.Methods, request.Method) is { } method) return method;
            Problems.Add($"--method {request.Method}: unknown; the methods are {RecipeNames.List(RecipeNames.Methods)}.");
            return Presets.DefaultMethod;
        }

        private (Granularity Granularity, int GroupSize) Grid(QuantizationMethod method, IReadOnlyList<LinearShape> layers, bool blocks)
        {
            if (blocks)
            {
                if (request.Bits is not null || request.Granularity is not null || request.GroupSize is not null || request.Symmetric is not null)
                    Problems.Add("--target-bits with --target llama.cpp chooses among the engine's blocks by itself; leave out --bits, --group-size and --symmetric, or give --widths fixed.");
                if (request.OnMisfit is not null) Problems.Add("--on-misfit does not apply to --target-bits with --target llama.cpp: every layer gets a block that fits it; leave it out.");
                if (layers.Any(layer => layer.InFeatures % LlamaCppGrids.SmallestBlock != 0)) Problems.Add(GroupProblem(LlamaCppGrids.SmallestBlock, layers));
                return (Granularity.Group, LlamaCppGrids.SmallestBlock);
            }
            Granularity granularity = request.Granularity ?? (request.GroupSize is null ? Granularity.Channel : Granularity.Group);
            if (granularity == Granularity.Tensor && method != QuantizationMethod.Rtn)
                Problems.Add($"--group-size tensor: one scale for a whole matrix works with --method rtn only; {RecipeNames.Of(RecipeNames.Methods, method)} takes channel or a number.");
            if (granularity != Granularity.Group) return (granularity, 0);
            int size = request.GroupSize ?? 0;
            if (size < 1)
            {
                Problems.Add($"--group-size {size}: a group holds at least 1 input; give a number, channel or tensor.");
                return (granularity, size);
            }
            if (layers.Any(layer => layer.InFeatures % size != 0)) Problems.Add(GroupProblem(size, layers));
            return (granularity, size);
        }

        private static string GroupProblem(int size, IReadOnlyList<LinearShape> layers)
        {
            var lengths = new SortedDictionary<int, List<string>>();
            foreach (LinearShape linear in layers)
            {
                if (!lengths.TryGetValue(linear.InFeatures, out List<string>? names)) lengths.Add(linear.InFeatures, names = []);
                names.Add(linear.Name);
            }
            IEnumerable<string> rows = lengths.Select(pair =>
                $"rows of {pair.Key} ({string.Join(", ", pair.Value)}) {(pair.Key % size == 0 ? "take it, as well as" : "take")} {List(Divisors(pair.Key).Where(d => d != size))}");
            int common = lengths.Keys.Aggregate((a, b) => (int)System.Numerics.BigInteger.GreatestCommonDivisor(a, b));
            return $"--group-size {size} does not divide every layer: {string.Join("; ", rows)}. Sizes that divide all: {List(Divisors(common))}.";

            static string List(IEnumerable<int> sizes) => string.Join(", ", sizes);
        }

        private static List<int> Divisors(int length)
        {
            // Groups below 8 cost more for their scales than they save; they are left out unless there is nothing else.
            const int smallest = 8;
            var all = new List<int>();
            for (int i = 1; i <= length; i++)
            {
                if (length % i == 0) all.Add(i);
            }
            List<int> sensible = all.FindAll(size => size >= smallest);
            return sensible.Count > 0 ? sensible : all;
        }

        private void RefuseForeignOptions(QuantizationMethod method)
        {
            string name = RecipeNames.Of(RecipeNames.Methods, method);
            bool corrects = CorrectionResolver.Covers(method);
            if (method != QuantizationMethod.Lrq && !corrects)
            {
                Refuse("--rank", request.Rank is not null, method switch
                {
                    QuantizationMethod.LrqHybrid => "lrq-hybrid takes the rank of each layer from its size; use --method lrq to choose one",
                    QuantizationMethod.FlexRound => "flexround learns full matrices; use --method lrq for a rank",
                    _ => "rtn learns nothing; leave it out, or choose another --method",
                });
            }
            if (corrects) Refuse("--start", request.Start is not null, $"{name} finds its own grids; leave it out");
            if ((method != QuantizationMethod.Rtn && !corrects) || (corrects && CorrectionResolver.LearnsResidual(request))) return;
            string remedy = corrects ? $"{name} fits every layer directly and trains nothing; leave it out, or let --residual lrq train" : "rtn learns nothing; leave it out, or choose another --method";
            Refuse("--iterations", request.Iterations is not null, remedy);
            Refuse("--learning-rate", request.LearningRate is not null, remedy);
            Refuse("--batch", request.Batch is not null, remedy);
            Refuse("--loss", request.Loss is not null, remedy);
            Refuse("--keep-best", request.KeepBest is not null, remedy);
            if (corrects || request.HasCalibration) return;
            const string measured = "rtn uses calibration text only to measure on its held-out windows; give --calibration too, or leave it out";
            Refuse("--samples", request.Samples is not null, measured);
            Refuse("--held-out", request.HeldOut is not null, measured);
            Refuse("--sequence-length", request.SequenceLength is not null, measured);
            if (request.TuneSteps > 0) return;
            Refuse("--preset", request.Preset is not null, "without --calibration no value comes from a preset; leave it out");

            void Refuse(string option, bool given, string why)
            {
                if (given) Problems.Add($"{option} does not apply to method {name}: {why}.");
            }
        }

        private Windows Data(QuantizationMethod method, Preset preset)
        {
            if (method == QuantizationMethod.Rtn && !request.HasCalibration) return default;
            int length = request.SequenceLength ?? Math.Min(preset.SequenceLength, model.MaxPositions);
            if (request.SequenceLength is null && length < preset.SequenceLength)
                Notes.Add($"Windows hold {length} tokens: the model has no more positions (the preset has {preset.SequenceLength}).");
            length = Range("--sequence-length", length, 2, model.MaxPositions, "tokens per window, at most the model's positions");
            int samples = AtLeast("--samples", request.Samples ?? Samples(method, preset), 1, "calibration windows");
            int heldOut = request.HeldOut ?? (request.KeepBest == true && preset.HeldOut == 0 ? Presets.KeepBestHeldOut : preset.HeldOut);
            heldOut = AtLeast("--held-out", heldOut, 0, "calibration windows to measure on");
            var windows = new Windows(samples, heldOut, length);
            if (request.BundledTokens is { } tokens) return Cut(windows, tokens);
            return request.CalibrationTokens is { } found ? Fit(windows, found) : windows;
        }

        private int Samples(QuantizationMethod method, Preset preset) =>
            CorrectionResolver.Covers(method) && !CorrectionResolver.LearnsResidual(request) && request.Preset?.ToLowerInvariant() != Presets.Paper ? Presets.CorrectionSamples : preset.Samples;

        private Windows Cut(Windows windows, long tokens)
        {
            (int samples, int heldOut, int length) = windows;
            if (((long)samples + heldOut) * length <= tokens) return windows;
            while (request.SequenceLength is null && ((long)samples + heldOut) * length > tokens && length / 2 >= ShortestBundledWindow) length /= 2;
            if (request.Samples is null) samples = (int)Math.Clamp((tokens / length) - heldOut, 1, samples);
            if (((long)samples + heldOut) * length > tokens)
            {
                Problems.Add($"--samples {samples} and {heldOut} held-out windows of {length} tokens need {((long)samples + heldOut) * length} tokens; " +
                    $"the model's own calibration text has {tokens}. Ask for fewer or shorter windows, or give --calibration FILE.");
            }
            else
            {
                Notes.Add($"The model's own calibration text has {tokens} tokens: {samples} + {heldOut} held-out windows of {length} tokens are used " +
                    $"(the preset has {windows.Samples} + {windows.HeldOut} of {windows.Length}).");
            }
            return new Windows(samples, heldOut, length);
        }

        // Of the user's text fewer windows are taken, in the same proportion; shorter ones only where not even one to learn from and one to judge by fit.
        private Windows Fit(Windows windows, long tokens)
        {
            (int samples, int heldOut, int length) = windows;
            if (samples < 1 || heldOut < 0 || length < 2 || ((long)samples + heldOut) * length <= tokens) return windows;
            int leastHeldOut = request.HeldOut ?? Math.Min(1, heldOut), least = (request.Samples ?? 1) + leastHeldOut;
            while (request.SequenceLength is null && request.Samples is null && request.HeldOut is null && (long)least * length > tokens && length / 2 >= ShortestBundledWindow)
                length /= 2;
            long fit = tokens / length;
            if (fit < least)
            {
                Problems.Add($"The calibration text has {tokens} tokens: {fit} windows of {length} fit, and {samples} + {heldOut} held-out ones are asked for. " +
                    "Give more text, or ask for fewer (--samples, --held-out) or shorter windows (--sequence-length).");
                return windows;
            }
            if (request.HeldOut is null && heldOut > 0)
                heldOut = (int)Math.Clamp(request.Samples is { } asked ? fit - asked : fit * heldOut / ((long)samples + heldOut), 1, heldOut);
            if (request.Samples is null) samples = (int)Math.Min(samples, fit - heldOut);
            Notes.Add($"The calibration text has {tokens} tokens: {samples} + {heldOut} held-out windows of {length} tokens are used instead of " +
                $"{windows.Samples} + {windows.HeldOut} of {windows.Length}; --samples, --held-out and --sequence-length choose others.");
            return new Windows(samples, heldOut, length);
        }

        private int Rank(string option, int? given, string preset)
        {
            int largest = linears.Count == 0 ? int.MaxValue : linears.Max(linear => Math.Min(linear.OutFeatures, linear.InFeatures));
            int asked = given ?? Presets.Rank(preset, Parameters);
            if (asked == RecipeRequest.FullRank) return largest;
            AtLeast(option, asked, 1, "inner dimension of L2 U2, or full");
            if (asked > largest) Notes.Add($"Rank {asked} is cut to {largest}: no matrix of the model has a larger one.");
            else if (linears.Where(linear => asked > Math.Min(linear.OutFeatures, linear.InFeatures)).Select(linear => linear.Name).ToArray() is { Length: > 0 } small)
                Notes.Add($"Rank {asked} is cut to the matrix in {string.Join(", ", small)}.");
            return Math.Min(asked, largest);
        }

        private double LearningRate(double preset)
        {
            double rate = request.LearningRate ?? preset;
            if (!(rate > 0) || !double.IsFinite(rate)) Problems.Add($"--learning-rate {Text(rate)}: must be a positive finite number, such as 0.002.");
            return rate;
        }

        private int Batch(Preset preset, int samples)
        {
            int batch = request.Batch ?? Math.Min(preset.Batch, Math.Max(1, samples));
            if (batch < 1) Problems.Add($"--batch {batch}: must be at least 1 (windows per step).");
            else if (samples >= 1 && batch > samples) Problems.Add($"--batch {batch}: at most the number of samples, {samples}; use a smaller batch or more --samples.");
            return batch;
        }

        private bool KeepBest(Preset preset, int heldOut)
        {
            bool keep = request.KeepBest ?? preset.KeepBest;
            if (keep && heldOut == 0) Problems.Add("--keep-best needs held-out windows to judge by: give --held-out 1 or more, or --keep-best false.");
            return keep;
        }

        private int Range(string option, int value, int least, int most, string what)
        {
            if (value < least || value > most) Problems.Add($"{option} {value}: must be {least} to {most} ({what}).");
            return value;
        }

        private int AtLeast(string option, int value, int least, string what)
        {
            if (value < least) Problems.Add($"{option} {value}: must be at least {least} ({what}).");
            return value;
        }
    }
}
