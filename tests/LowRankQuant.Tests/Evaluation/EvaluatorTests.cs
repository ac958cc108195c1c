using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Generation;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Evaluation, sampling and calibration with the model that comes with the repository.</summary>
public sealed class EvaluatorTests : IDisposable
{
    private readonly CpuDevice _device = new();
    private readonly CausalModel _model;
    private readonly ITokenizer _tokenizer = TokenizerJson.Load(Path.Combine(TestData.Demo, "tokenizer.json"));

    public EvaluatorTests() => _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private int[] Ids => _tokenizer.Encode(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"))[..12000], addSpecialTokens: false);

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void StreamingAndBatching_DoNotChangeAResult()
    {
        // Windows of several lengths, so that batches and padding are exercised.
        int[] ids = Ids;
        int[][] windows = [ids[..64], ids[64..128], ids[128..192], ids[192..292], ids[300..307], ids[400..440], ids[440..480]];
        float[][] expected = States(new ModelRunnerOptions { BatchTokens = 1 });
        using var scratch = new TemporaryFolder();
        var small = new ModelRunnerOptions { MemoryBytes = 1000, BatchTokens = 130, ScratchFolder = scratch.Path };
        using (var runner = new ModelRunner(_model, small)) Assert.False(runner.Resident);
        Assert.Equal(expected, States(new ModelRunnerOptions { BatchTokens = 130 }));
        Assert.Equal(expected, States(small));
        Assert.Empty(Directory.GetFiles(scratch.Path));

        float[][] States(ModelRunnerOptions options)
        {
            var states = new List<float[]>();
            using var runner = new ModelRunner(_model, options);
            runner.Run(
                windows,
                (number, hidden) =>
                {
                    Assert.Equal(states.Count, number);
                    Assert.Equal([windows[number].Length, _model.Config.HiddenSize], hidden.Shape.ToArray());
                    states.Add(hidden.ToArray());
                },
                cancellation: Token);
            return [.. states];
        }
    }

    [Fact]
    public void Perplexity_OfTheDemo()
    {
        string text = File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt")).Replace("<|endoftext|>\n", "");
        IReadOnlyList<TextWindow> windows = TextWindows.Cut(_tokenizer.Encode(text, false), new TextWindowOptions { Context = 256, KeepPartial = false }, _model.Config);
        using var runner = new ModelRunner(_model);
        EvaluationResult result = new Evaluator(runner).Evaluate(windows, cancellation: Token);
        Assert.Equal(10.5125, result.Perplexity!.Value, 1e-3);
        Assert.Null(result.KlDivergence);
        Assert.Null(result.Top1Agreement);
        Assert.InRange(result.StandardErrors["perplexity"], 0.05, 1);
        Assert.True(result.Seconds > 0 && result.PeakMemoryBytes > 1 << 20);
    }

    [Fact]
    public void AModelAgainstItself_DoesNotDiverge()
    {
        using ModelRunner runner = new(_model), reference = new(_model);
        TextWindow[] windows = [new(Ids[..100]), new(Ids[100..150], FirstNew: 10)];
        var scores = new List<WindowScore>();
        EvaluationResult result = new Evaluator(runner, reference) { WindowScored = scores.Add }.Evaluate(windows, cancellation: Token);
        Assert.Equal(0, result.KlDivergence!.Value, 1e-12);
        Assert.Equal(1, result.Top1Agreement);
        Assert.Equal(99 + 40, result.Tokens);
        Assert.Equal([100, 40], scores.Select(score => score.Divergences!.Length));
        scores.Clear();
        var predicting = new EvaluationOptions { Positions = ComparedPositions.Predicting };
        new Evaluator(runner, reference) { WindowScored = scores.Add }.Evaluate(windows, predicting, cancellation: Token);
        Assert.Equal([99, 40], scores.Select(score => score.Agreements!.Length));
    }

    [Fact]
    public void Overlap_ScoresEveryTokenOnce_WithMoreContext()
    {
        int[] ids = Ids[..300];
        using var runner = new ModelRunner(_model);
        double apart = Loss(new TextWindowOptions { Context = 60 }), overlapping = Loss(new TextWindowOptions { Context = 60, Stride = 20 });
        Assert.True(overlapping < apart, $"{overlapping} with overlap, {apart} without");

        double Loss(TextWindowOptions options)
        {
            IReadOnlyList<TextWindow> windows = TextWindows.Cut(ids, options, _model.Config);
            EvaluationResult result = new Evaluator(runner).Evaluate(windows, new EvaluationOptions { Average = PerplexityAverage.Tokens }, cancellation: Token);
            Assert.Equal(options.Stride is null ? 300 - 5 : 299, result.Tokens);
            return result.NegativeLogLikelihood!.Value;
        }
    }

    [Fact]
    public void GreedySampling_IsWhatFullPassesSay()
    {
        int[][] prompts = [Ids[..9], Ids[20..29], Ids[50..59]];
        using var sampler = new TokenSampler(_model);
        int[][] added = sampler.Sample(prompts, 8, new SamplingOptions { Temperature = 0 }, Token);
        for (int i = 0; i < prompts.Length; i++)
        {
            int[] whole = [.. prompts[i], .. added[i]];
            Assert.Equal(added[i], MostProbable(whole)[(prompts[i].Length - 1)..^1]);
        }
    }

    [Fact]
    public void Sampling_DependsOnSeedAndStreamAlone()
    {
        using var sampler = new TokenSampler(_model);
        int[] prompt = Ids[..4];
        int[][] all = Sample(7, 0, 3);
        Assert.Equal(all[2], Sample(7, 2, 1)[0]);
        Assert.Equal(all, Sample(7, 0, 3));
        Assert.NotEqual(all[0], all[1]);
        Assert.NotEqual(all[0], Sample(8, 0, 1)[0]);
        Assert.Throws<ArgumentException>(() => sampler.Sample([prompt], 509, new SamplingOptions(), Token));
        Assert.Throws<ArgumentException>(() => sampler.Sample([prompt, [1]], 5, new SamplingOptions(), Token));

        int[][] Sample(ulong seed, ulong first, int count) =>
            sampler.Sample([.. Enumerable.Repeat(prompt, count)], 24, new SamplingOptions { Temperature = 1.5, Seed = seed, FirstStream = first }, Token);
    }

    [Fact]
    public void GeneratedText_ContinuesThePrompt()
    {
        string text = TextGenerator.Generate(_model, _tokenizer, "Once upon a time", 24, cancellation: Token);
        Assert.StartsWith("Once upon a time", text);
        Assert.True(text.Length > 40 && text.Count(c => c == ' ') > 8, text);
        Assert.NotEmpty(TextGenerator.Generate(_model, _tokenizer, "", 8, cancellation: Token));
    }

    [Fact]
    public void SelfCalibration_SamplesWindowsThatTheModelFindsLikely()
    {
        var options = new CalibrationOptions { Sources = ["self"], Samples = 5, HeldOut = 2, SequenceLength = 40, Seed = 3 };
        CalibrationSet set = CalibrationLoader.Load(options, _tokenizer, _model.Config, _model, cancellation: Token);
        Assert.Equal((5, 2, 7 * 40L), (set.Windows.Length, set.HeldOutWindows.Length, set.TokensUsed));
        Assert.All(set.Windows, window => Assert.Equal((40, 0), (window.Length, window[0])));
        Assert.Equal(set.Fingerprint, CalibrationLoader.Load(options, _tokenizer, _model.Config, _model, cancellation: Token).Fingerprint);
        CalibrationSet fewer = CalibrationLoader.Load(options with { HeldOut = 0 }, _tokenizer, _model.Config, _model, cancellation: Token);
        Assert.Equal(set.Windows, fewer.Windows);
        using var runner = new ModelRunner(_model);
        EvaluationResult result = new Evaluator(runner).Evaluate([.. set.Windows.Select(ids => new TextWindow(ids))], cancellation: Token);
        Assert.InRange(result.Perplexity!.Value, 2, 60);
    }

    [Fact]
    public void UnusableRequests_AreNamed()
    {
        using var runner = new ModelRunner(_model);
        var evaluator = new Evaluator(runner);
        Assert.Contains("no windows", Message([]));
        Assert.Contains("nothing to score", Message([new TextWindow([1, 2, 3], 3)]));
        Assert.Contains("1 to 512", Message([new TextWindow(new int[513])]));
        Assert.Throws<CheckpointException>(() => evaluator.Evaluate([new TextWindow([1, 2048])], cancellation: Token));
        Assert.Throws<OperationCanceledException>(() => evaluator.Evaluate([new TextWindow([1, 2])], cancellation: new CancellationToken(true)));
        using var otherDevice = new CpuDevice();
        using var otherModel = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), otherDevice);
        using var reference = new ModelRunner(otherModel);
        Assert.Contains("one device", Assert.Throws<EvaluationException>(() => new Evaluator(runner, reference).Evaluate([new TextWindow([1, 2])], cancellation: Token)).Message);

        string Message(TextWindow[] windows) => Assert.Throws<EvaluationException>(() => evaluator.Evaluate(windows, cancellation: Token)).Message;
    }

    [Fact]
    public void Progress_CountsWindows()
    {
        var seen = new List<EvaluationProgress>();
        using ModelRunner runner = new(_model, new ModelRunnerOptions { MemoryBytes = 0 }), reference = new(_model);
        new Evaluator(runner, reference).Evaluate([new TextWindow([1, 2]), new TextWindow([3, 4, 5])], progress: new Recorder(seen), cancellation: Token);
        Assert.Equal(["reference windows", "block 1 of 4", "block 2 of 4", "block 3 of 4", "block 4 of 4"], seen.Select(step => step.Phase).Distinct());
        Assert.All(seen, step => Assert.InRange(step.Done, 1, step.Total));
    }

    private int[] MostProbable(int[] ids)
    {
        using var tape = new Tape(_device, recording: false);
        Tensor x = tape.Rent(ids.Length, _model.Config.HiddenSize);
        using (InputEmbedding embedding = _model.LoadEmbedding()) embedding.Embed(ids, x);
        var state = new Variable(x);
        for (int i = 0; i < _model.Config.Layers; i++)
        {
            using IDecoderBlock block = _model.LoadBlock(i);
            state = block.Forward(tape, state, new SequenceShape(1, ids.Length));
        }
        using OutputHead head = _model.LoadHead();
        var largest = new int[ids.Length];
        _device.Kernels.SoftmaxStatistics(head.Logits(tape, state).Value, tape.Rent(ids.Length), largest);
        return largest;
    }

    private sealed class Recorder(List<EvaluationProgress> seen) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => seen.Add(value);
    }
}
