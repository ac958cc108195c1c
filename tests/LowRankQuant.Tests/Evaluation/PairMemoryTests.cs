using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Evaluating;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>How a model and its reference share memory, and that it changes no number.</summary>
public sealed class PairMemoryTests : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly CausalModel _reference, _model;
    private readonly TemporaryFolder _folder = new();

    public PairMemoryTests()
    {
        _reference = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        _model = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), AlteredCheckpoint.CutToFourBits), _device);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private long Weights => ModelRunner.WeightBytes(_model);

    private long Head => ModelRunner.HeadBytes(_model);

    public void Dispose()
    {
        _model.Dispose();
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void ThePlanGoesByTheBudget()
    {
        Assert.Equal((_model.LinearWeights + (2 * (Head / 4))) * 4, Weights);
        Check(2 * Weights, MemorySharing.Together, 2 * Weights, 0);
        Check((2 * Weights) + 500, MemorySharing.Together, (2 * Weights) + 500, 500);
        Check((2 * Weights) - 1, MemorySharing.InTurn, (2 * Weights) - 1, Weights - Head - 1);
        Check(Weights + Head, MemorySharing.InTurn, Weights + Head, 0);
        Check(Weights + Head - 1, MemorySharing.Streamed, (Weights + Head - 1) / 2, (Weights + Head - 1) / 2);
        // Without a number what either has by itself, together: on any machine that runs the tests the demo fits it twice.
        Assert.Equal(MemorySharing.Together, PairMemory.Of(_model, _reference, new ModelRunnerOptions()).Sharing);

        void Check(long budget, MemorySharing sharing, long each, long states)
        {
            PairMemory plan = PairMemory.Of(_model, _reference, new ModelRunnerOptions { MemoryBytes = budget, ScratchFolder = "s" });
            Assert.Equal((sharing, each, each, states), (plan.Sharing, plan.Model.MemoryBytes, plan.Reference.MemoryBytes, plan.States.MemoryBytes));
            Assert.Equal("s", plan.States.ScratchFolder);
        }
    }

    [Fact]
    public void KeptStatesLieWhereThereIsRoom()
    {
        Check(Weights + Head + 100, 100, Weights + Head);
        Check(Weights + Head + 99, 0, Weights + Head + 99);
        Check(1000, 0, 1000);

        void Check(long budget, long kept, long each)
        {
            PairMemory plan = PairMemory.OfKept(_reference, 100, new ModelRunnerOptions { MemoryBytes = budget });
            Assert.Equal((kept, each, each), (plan.States.MemoryBytes, plan.Reference.MemoryBytes, plan.Model.MemoryBytes));
        }
    }

    // Which way is taken shows in how many blocks are held at once, and how often they are loaded; the figures do not show it.
    [Fact]
    public void TheBudgetChangesNoBit()
    {
        TextWindow[] windows = Windows(100, 60, 60, 60, 128, 128, 7);
        int layers = _model.Config.Layers;
        List<WindowScore> expected = Scores(null, 1 << 18, out CountedBlocks together);
        Assert.Equal((2 * layers, layers, layers), Counts(together));
        Same(Scores(2 * Weights, 1 << 18, out together));
        Assert.Equal((2 * layers, layers, layers), Counts(together));
        // One turn; then turns of so few tokens that there are two.
        Same(Scores((2 * Weights) - 1, 1 << 18, out CountedBlocks inTurn));
        Assert.Equal((layers, layers, layers), Counts(inTurn));
        Same(Scores(Weights + Head, 300, out inTurn));
        Assert.Equal((layers, 2 * layers, 2 * layers), Counts(inTurn));
        Same(Scores(Weights + Head - 1, 1 << 18, out CountedBlocks streamed));
        Assert.Equal((1, layers, layers), Counts(streamed));
        Same(Scores(1000, 300, out streamed));
        Assert.Equal((1, 2 * layers, 2 * layers), Counts(streamed));
        Assert.Empty(Directory.GetFiles(_folder.Path));

        List<WindowScore> Scores(long? budget, int tokens, out CountedBlocks counts)
        {
            counts = new CountedBlocks();
            PairMemory plan = PairMemory.Of(_model, _reference, new ModelRunnerOptions { MemoryBytes = budget, ScratchFolder = _folder.Path });
            using ModelRunner runner = new(_model, plan.Model, counts.Of(_model)), reference = new(_reference, plan.Reference, counts.Of(_reference));
            var scores = new List<WindowScore>();
            var options = new EvaluationOptions { Memory = plan.States, Sharing = plan.Sharing };
            new Evaluator(runner, reference) { WindowScored = scores.Add, TokensTogether = tokens }.Evaluate(windows, options, cancellation: Token);
            return scores;
        }

        void Same(List<WindowScore> scores) => AssertSame(expected, scores);

        (int, int, int) Counts(CountedBlocks counts) => (counts.Most, counts.Loads[_model], counts.Loads[_reference]);
    }

    [Fact]
    public void EvalTellsThatTheyTakeTurns()
    {
        string ids = _folder.File("ids.jsonl");
        File.WriteAllLines(ids, Windows(60, 60, 60).Select(window => $"[{string.Join(',', window.Ids)}]"));
        var seen = new Observer();
        EvaluationResult together = Run(null);
        Assert.DoesNotContain(seen.Notes, note => note.Contains("take turns", StringComparison.Ordinal));
        EvaluationResult inTurn = Run(Weights + Head);
        Assert.Contains(seen.Notes, note => note.Contains("take turns", StringComparison.Ordinal));
        EvaluationResult streamed = Run(1000);
        Assert.NotEqual(0, together.KlDivergence);
        foreach (EvaluationResult other in new[] { inTurn, streamed })
            Assert.Equal((together.Perplexity, together.KlDivergence, together.Top1Agreement), (other.Perplexity, other.KlDivergence, other.Top1Agreement));

        EvaluationResult Run(long? memory) => new EvaluationRun().Run(new EvaluationJob { Model = _model, Reference = _reference, Ids = ids, MemoryBytes = memory }, seen, Token);
    }

    // Model and reference are asked one after the other: what one fits by itself, it stays in, whatever the number of tasks.
    [Fact]
    public void TasksHaveAllOfTheMemory()
    {
        EvaluationTask[] tasks = [.. new[] { "first", "second" }.Select(name =>
        {
            File.WriteAllLines(_folder.File(name + ".jsonl"), Enumerable.Range(0, 3).Select(i => new JsonObject { ["q"] = $"There were {i} cats. They", ["o"] = new JsonArray("played", "ran"), ["r"] = 0 }.ToJsonString()));
            File.WriteAllText(_folder.File(name + ".json"), $$$"""{"name":"{{{name}}}","file":"{{{name}}}.jsonl","context":"{{q}}","choices":["o"],"answer":"r"}""");
            return TaskCatalog.Resolve(_folder.File(name + ".json"));
        })];
        var reads = new Dictionary<string, int>();
        using CausalModel own = Counted("own"), reference = Counted("reference");
        Ask(Weights);
        Assert.Equal((1, 1), (reads["own"], reads["reference"]));
        reads.Clear();
        Ask(Weights - 1);
        Assert.Equal((2, 2), (reads["own"], reads["reference"]));

        void Ask(long memory) => new EvaluationRun().Run(new EvaluationJob { Model = own, Reference = reference, Tasks = new TaskJob { Tasks = tasks }, MemoryBytes = memory }, new Observer(), Token);

        CausalModel Counted(string who) => new(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), (name, _) =>
        {
            if (name == "model.layers.0.mlp.down_proj.weight") reads[who] = reads.GetValueOrDefault(who) + 1;
        }), _device);
    }

    // The rows of a run: the original runs once, whatever the memory.
    [Fact]
    public void RowsOfARunAreTheSameWithKeptStates()
    {
        TextWindow[] windows = Windows(100, 60, 60, 128);
        using ModelRunner runner = new(_model), full = new(_reference);
        EvaluationResult original = new Evaluator(full).Evaluate(windows, cancellation: Token), expected = new Evaluator(runner, full).Evaluate(windows, cancellation: Token);
        Assert.NotEqual(0, expected.KlDivergence);
        foreach (long? budget in new long?[] { null, Weights + Head + KeptStates.Bytes(windows, _model.Config.HiddenSize), Weights + Head, Weights / 2 })
        {
            var reads = 0;
            using var counted = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), (name, _) => reads += name == "model.layers.0.mlp.down_proj.weight" ? 1 : 0), _device);
            var blocks = new CountedBlocks();
            using (var rows = new RowMeasurement(counted, windows, new ModelRunnerOptions { MemoryBytes = budget, ScratchFolder = _folder.Path }, new Observer(), Token))
            {
                AssertSame(original, rows.Original());
                for (int i = 0; i < 2; i++) AssertSame(expected, rows.Beside(_model, blocks.Of(_model)));
            }
            Assert.Equal((1, 0), (reads, blocks.Held));
            Assert.Empty(Directory.GetFiles(_folder.Path));
        }

        static void AssertSame(EvaluationResult one, EvaluationResult other) =>
            Assert.Equal((one.Perplexity, one.NegativeLogLikelihood, one.KlDivergence, one.Top1Agreement), (other.Perplexity, other.NegativeLogLikelihood, other.KlDivergence, other.Top1Agreement));
    }

    internal static void AssertSame(IReadOnlyList<WindowScore> expected, IReadOnlyList<WindowScore> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        foreach ((WindowScore one, WindowScore other) in expected.Zip(actual))
        {
            Assert.Equal(one.Losses, other.Losses);
            Assert.Equal(one.Divergences, other.Divergences);
            Assert.Equal(one.Agreements, other.Agreements);
        }
    }

    private TextWindow[] Windows(params int[] lengths)
    {
        int[] ids = _reference.Checkpoint.LoadTokenizer().Encode(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"))[..6000], addSpecialTokens: false);
        int first = 0;
        return [.. lengths.Select(length => new TextWindow(ids[first..(first += length)]))];
    }

    /// <summary>Keeps notes.</summary>
    internal sealed class Observer : IRunObserver
    {
        public List<string> Notes { get; } = [];

        public List<string> Stages { get; } = [];

        public void LogTo(string file)
        {
        }

        public void Stage(string name) => Stages.Add(name);

        public void Note(string text) => Notes.Add(text);

        public void Warn(string text)
        {
        }

        public void BeginBlocks(int blocks, int finished)
        {
        }

        public void Step(BlockProgress step)
        {
        }

        public void Block(BlockReport report)
        {
        }

        public void Progress(long done, long total)
        {
        }
    }
}
