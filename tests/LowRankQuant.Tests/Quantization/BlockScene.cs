using System.Globalization;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization;

/// <summary>Block 0 of a model with the reference's windows in front of it, and what comes out of it with other weights.</summary>
internal sealed class BlockScene : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });
    private readonly CausalModel _model;
    private readonly float[][] _expected;

    private BlockScene(Func<string, HuggingFaceCheckpoint> open, Func<CausalModel, string, ActivationStream> inputs)
    {
        _model = new CausalModel(open(_folder.Path), _device);
        Block = _model.LoadBlock(0);
        Inputs = inputs(_model, _folder.Path);
        _expected = Outputs();
    }

    public IDecoderBlock Block { get; private set; }

    public ActivationStream Inputs { get; }

    public CpuDevice Device => _device;

    /// <summary>Block 0 of tinystories-656k behind its embedding.</summary>
    public static BlockScene TinyStories(int windows) => new(_ => HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k")), (model, folder) =>
    {
        using SafetensorsFile ids = SafetensorsFile.Open(TestData.Path("golden", "lrq", "model-tinystories-656k.safetensors"));
        int[][] all = [.. GoldenBlockTests.Read<int>(ids, "calib_ids").Chunk((int)ids.ShapeOf("calib_ids")[1]).Take(windows)];
        return ActivationStream.Embed(model, all, new StreamOptions(new MemoryBudget(1 << 30), folder));
    });

    /// <summary>A Llama block whose weights and inputs are tensors of the reference: <c>PREFIX.q</c> to <c>PREFIX.norm2</c>, and <c>PREFIX.x</c> [windows, rows, columns].</summary>
    public static BlockScene OfTensors(MiniSafetensors tensors, string prefix, int heads) => new(
        folder => Checkpoint(tensors, prefix, heads, folder),
        (model, folder) =>
        {
            int[] shape = tensors.Shape($"{prefix}.x");
            float[] x = tensors.Floats($"{prefix}.x");
            var options = new StreamOptions(new MemoryBudget(1 << 30), folder);
            var stream = ActivationStream.Of(model.Device, new ActivationStore(shape[0], shape[1], shape[2], options.Budget, folder), options);
            for (int window = 0; window < shape[0]; window++)
            {
                using Tensor rows = model.Device.From(x.AsSpan(window * shape[1] * shape[2], shape[1] * shape[2]), shape[1], shape[2]);
                stream.Write(window, rows);
            }
            return stream;
        });

    /// <summary>The linear of a short name such as <c>gate</c>.</summary>
    public LinearSlot Slot(string name) => Block.Slots.Single(slot => slot.Name.EndsWith($".{name}_proj", StringComparison.Ordinal));

    /// <summary>The block as it is stored, in the place of what has been done to it.</summary>
    public void Reload()
    {
        Block.Dispose();
        Block = _model.LoadBlock(0);
    }

    /// <summary>The streams as a method gets them.</summary>
    public BlockContext Context(Scheme scheme) => new()
    {
        Block = Block,
        Device = _device,
        Scheme = scheme,
        Streams = new BlockStreams(Inputs, Inputs, Inputs.Windows) { FullPrecisionInput = Inputs },
        Seed = 1,
        Cancellation = TestContext.Current.CancellationToken,
    };

    /// <summary>Mean squared difference of the block's outputs from those of the block as it is stored, with other weights in it.</summary>
    public double ErrorOf(IReadOnlyList<QuantizedWeight> weights)
    {
        using SlotSwap stored = SlotSwap.Dequantized(Block, weights, _device);
        return _expected.Zip(Outputs()).Average(pair => pair.First.Zip(pair.Second).Average(values => Math.Pow((double)values.First - values.Second, 2)));
    }

    public void Dispose()
    {
        Inputs.Dispose();
        Block.Dispose();
        _model.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private static HuggingFaceCheckpoint Checkpoint(MiniSafetensors tensors, string prefix, int heads, string folder)
    {
        int width = tensors.Shape($"{prefix}.q")[0], hidden = tensors.Shape($"{prefix}.gate")[0];
        const int vocabulary = 8;
        (string Name, string Key)[] names =
        [
            ("self_attn.q_proj", "q"), ("self_attn.k_proj", "k"), ("self_attn.v_proj", "v"), ("self_attn.o_proj", "o"), ("mlp.gate_proj", "gate"), ("mlp.up_proj", "up"), ("mlp.down_proj", "down"),
            ("input_layernorm", "norm1"), ("post_attention_layernorm", "norm2"),
        ];
        List<PendingTensor> stored = [.. names.Select(name => PendingTensor.FromSingles(
            $"model.layers.0.{name.Name}.weight", SafetensorsType.F32, [.. tensors.Shape($"{prefix}.{name.Key}").Select(size => (long)size)], tensors.Floats($"{prefix}.{name.Key}")))];
        stored.Add(PendingTensor.FromSingles("model.embed_tokens.weight", SafetensorsType.F32, [vocabulary, width], new float[vocabulary * width]));
        stored.Add(PendingTensor.FromSingles("model.norm.weight", SafetensorsType.F32, [width], [.. Enumerable.Repeat(1f, width)]));
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), stored, SafetensorsWriter.PyTorchMetadata);
        File.WriteAllText(Path.Combine(folder, "config.json"), string.Create(CultureInfo.InvariantCulture, $$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": {{width}}, "intermediate_size": {{hidden}}, "num_hidden_layers": 1, "num_attention_heads": {{heads}},
             "num_key_value_heads": {{heads}}, "vocab_size": {{vocabulary}}, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
             "tie_word_embeddings": true, "torch_dtype": "float32"}
            """));
        return HuggingFaceCheckpoint.Open(folder);
    }

    private float[][] Outputs()
    {
        var outputs = new float[Inputs.Windows][];
        Inputs.Look(Block, 0, outputs.Length, (window, output) => outputs[window] = output.ToArray(), TestContext.Current.CancellationToken, batch: 1);
        return outputs;
    }
}
