using System.Text.Json;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization;

/// <summary>
/// A whole tiny model with the reference's calibration and evaluation ids: quantizes it by the product's pipeline and measures the result.
/// </summary>
internal sealed class TinyModelLab : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    // One thread: the matrices are small, and other tests run beside this one.
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly SafetensorsFile _golden;
    private readonly JsonDocument _figures;
    private readonly CausalModel _model;
    private readonly ModelRunner _full;
    private readonly string _name;
    private int _runs;

    public TinyModelLab(string name)
    {
        _name = name;
        _golden = SafetensorsFile.Open(TestData.Path("golden", "lrq", $"model-{name}.safetensors"));
        _figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "lrq", "models.json")));
        string path = TestData.Path("models", name);
        ICheckpoint checkpoint = name switch
        {
            "stories260K" => new Llama2cSource(Path.Combine(path, "stories260K.bin")),
            "babyllama-tok105" => new Llama2cSource(Path.Combine(path, "model5000.bin")),
            _ => HuggingFaceCheckpoint.Open(path),
        };
        _model = new CausalModel(checkpoint, _device);
        _full = new ModelRunner(_model);
    }

    public CausalModel Model => _model;

    public SafetensorsFile Golden => _golden;

    public IReadOnlyList<TextWindow> EvaluationWindows => [.. Windows("eval_ids").Select(ids => new TextWindow(ids))];

    /// <summary>A row of the reference's table, such as <c>lrq-r16.b3</c>.</summary>
    public JsonElement Row(string key) => _figures.RootElement.GetProperty("table").GetProperty(_name).GetProperty(key);

    public EvaluationResult MeasureFull(Action<WindowScore>? window = null) => new Evaluator(_full) { WindowScored = window }.Evaluate(
        EvaluationWindows, new EvaluationOptions { Positions = ComparedPositions.Predicting }, cancellation: TestContext.Current.CancellationToken);

    /// <summary>Quantizes as the reference did (per channel, asymmetric, 32-bit scales, batch 2, plain loss, last iterate) and measures.</summary>
    /// <param name="method">The method.</param>
    /// <param name="bits">Bits of weights.</param>
    /// <param name="start">Grid.</param>
    /// <param name="rank">Of LRQ.</param>
    /// <param name="iterations">Of what learns.</param>
    /// <param name="rate">Of what learns.</param>
    /// <param name="seed">Of random numbers.</param>
    /// <param name="install">Puts quantizers of activations into a block that is measured; null for none.</param>
    public EvaluationResult Quantize(
        string method, int bits, GridStart start, int rank = 0, int iterations = 0, double rate = 0, ulong seed = 0, Action<IDecoderBlock>? install = null)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        var options = new List<(string, object)> { ("start", start == GridStart.MinMax ? "minmax" : "search") };
        bool learns = method != "rtn";
        if (learns) options.AddRange([("iterations", iterations), ("learning_rate", rate), ("batch", 2), ("loss", "plain"), ("keep_best", false)]);
        if (method == "lrq") options.Add(("rank", rank));
        Recipe recipe = RecipeResolver.Resolve(
            BuiltInMethods.Catalog,
            new RecipeRequest { Method = method, Bits = bits, ScaleType = ScaleType.Float32, Seed = seed, HasCalibration = learns, HeldOut = learns ? 0 : null, Options = Asked.For([.. options]) },
            _model.Config, _model.Layout, ScaleType.Float32).Recipe with
        {
            Samples = 64,
            HeldOut = 0,
            SequenceLength = 128,
        };
        var calibration = learns ? new CalibrationSet(Windows("calib_ids"), []) : null;
        RunFingerprint fingerprint = RunFingerprint.Of(_model.Checkpoint, "reference", recipe, _device.Kernels.Name, "none");
        RunFolder run = RunFolder.Open(_folder.File($"{method}-{bits}-{start}-{rank}-{seed}-{_runs++}"), fingerprint, overwrite: false);
        var store = new CompressedBlockStore(recipe.Scheme);
        IReadOnlyList<BlockReport> reports = new BlockPipeline(_model, recipe, run, store)
            .Run(calibration, new MemoryBudget(1 << 30), cancellation);
        Assert.Equal(_model.Config.Layers, reports.Count);
        Assert.All(reports, report => Assert.Empty(report.Warnings));
        using var quantized = new ModelRunner(_model, null, index => Stored(store, run, index, install));
        return new Evaluator(quantized, _full).Evaluate(
            EvaluationWindows, new EvaluationOptions { Positions = ComparedPositions.Predicting }, cancellation: cancellation);
    }

    /// <summary>Token ids of the reference.</summary>
    public int[][] Windows(string name)
    {
        int[] ids = GoldenBlockTests.Read<int>(_golden, name);
        return [.. ids.Chunk((int)_golden.ShapeOf(name)[1])];
    }

    public void Dispose()
    {
        _full.Dispose();
        _model.Dispose();
        _device.Dispose();
        _golden.Dispose();
        _figures.Dispose();
        _folder.Dispose();
    }

    private IDecoderBlock Stored(CompressedBlockStore store, RunFolder run, int index, Action<IDecoderBlock>? install)
    {
        IDecoderBlock block = _model.LoadBlock(index);
        IReadOnlyList<QuantizedWeight> weights = store.Read(run.BlockFile(index), block);
        for (int i = 0; i < weights.Count; i++)
        {
            var values = new float[weights[i].Codes.Length];
            weights[i].Dequantize(values);
            block.Slots[i].Exchange(new DenseWeight(_device.From(values, weights[i].OutFeatures, weights[i].InFeatures))).Dispose();
        }
        install?.Invoke(block);
        return block;
    }
}
