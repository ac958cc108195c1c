using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Models;

/// <summary>
/// Logits, hidden states and NLL of the reference checkpoints of every family, with the tolerances stated beside them: whole windows and token by token, with the
/// configuration in the style of the hub and in that of transformers 5.
/// </summary>
public sealed class GoldenModelTests
{
    private static readonly string[] First =
    [
        "bloom", "bloom_6heads", "cohere", "cohere2", "cohere_qk_norm", "falcon_11b", "falcon_40b", "falcon_7b", "falcon_rw", "gemma", "gemma2",
        "gemma3_text", "gemma3_text_linear", "gpt2", "gpt2_prefix", "gpt_neox", "gpt_neox_serial", "granite", "llama_bias", "llama_gqa_sharded",
        "llama_head_dim", "llama_mha", "llama_mqa_fp32", "llama_rope_dynamic", "llama_rope_linear", "llama_rope_llama3", "llama_rope_yarn",
        "llama_rope_yarn_mscale", "llama_tied", "mistral", "mistral_nemo", "mixtral", "olmo2", "olmo2_gqa", "opt_125m", "opt_350m", "phi", "phi3",
        "phi3_longrope", "phi4_mini", "qwen2", "qwen2_tied", "qwen2_window", "qwen3", "qwen3_moe", "qwen3_moe_dense_mix", "qwen3_tied_yarn",
        "smollm3", "stablelm", "stablelm_12b", "starcoder2", "starcoder2_untied",
    ];

    private static readonly string[] Second =
    [
        "apertus", "arcee", "codegen", "dbrx", "ernie4_5", "ernie4_5_moe", "exaone4", "exaone4_1b", "gemma3", "gemma4", "gemma4_moe", "gemma4_text",
        "glm4", "glm4_moe", "glm4_moe_air", "gpt_bigcode", "gpt_bigcode_mha", "gpt_oss", "gpt_oss_mxfp4", "gptj", "helium", "hunyuan_v1_dense",
        "llama4", "llama4_text", "mimo_v2_flash", "minimax_m2", "ministral3", "mistral3", "mistral3_tied", "mpt", "nemotron", "olmo3", "olmoe",
        "persimmon", "phimoe", "qwen2_moe", "qwen2_moe_mix", "seed_oss", "smollm3_window",
    ];

    // Of recurrent and latent mixers, those that are covered.
    private static readonly string[] Hybrids =
    [
        "deepseek_v2", "deepseek_v3", "deepseek_v3_fp8", "deepseek_v3_noq", "glm4_moe_lite", "kimi_k2", "mistral4", "qwen3_fp8", "qwen3_5_text", "qwen3_5", "qwen3_5_moe", "qwen3_next",
        "lfm2", "lfm2_bias", "lfm2_moe", "lfm3", "granitemoehybrid", "granitemoehybrid_dense", "granitemoehybrid_rope", "nemotron_h", "nemotron_h_moe", "falcon_h1", "falcon_h1_norm",
        "bamba", "mamba2", "jamba", "kimi_linear",
    ];

    public static TheoryData<string, string> Cases =>
        [.. First.Select(name => ("models", name)).Concat(Second.Select(name => ("models2", name))).Concat(Hybrids.Select(name => ("hybrids", name)))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void TheForwardPassMatchesTheReference(string group, string name)
    {
        string folder = TestData.Path("golden", group, name);
        using SafetensorsFile golden = SafetensorsFile.Open(folder + ".safetensors");
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        var errors = new Errors();
        using (var model = new CausalModel(HuggingFaceCheckpoint.Open(folder), device))
        {
            foreach (string text in new[] { "a", "b" })
            {
                Windows(model, golden, text, errors);
                Lanes(model, golden, text, errors);
            }
        }
        string newer = Path.Combine(folder, "config.v5.json");
        if (File.Exists(newer))
        {
            using var copy = new TemporaryFolder();
            foreach (string file in Directory.GetFiles(folder)) File.CreateSymbolicLink(Path.Combine(copy.Path, Path.GetFileName(file)), file);
            File.Delete(Path.Combine(copy.Path, "config.json"));
            File.Copy(newer, Path.Combine(copy.Path, "config.json"));
            using var model = new CausalModel(HuggingFaceCheckpoint.Open(copy.Path), device);
            foreach (string text in new[] { "a", "b" }) Windows(model, golden, text, errors);
        }
        errors.Report($"{group}/{name}");
        Assert.True(errors.Hidden < 1e-5, $"hidden states: {errors.Hidden} at {errors.Place}");
        Assert.True(errors.Logits < 1e-5, $"logits: {errors.Logits}");
        Assert.True(errors.Largest < 2e-4, $"logits: largest difference {errors.Largest}");
        Assert.True(errors.Nll < 1e-5, $"negative log-likelihood: {errors.Nll}");
        Assert.True(errors.Lanes < 1e-5, $"token by token: {errors.Lanes}");
    }

    private static void Windows(CausalModel model, SafetensorsFile golden, string text, Errors errors)
    {
        (int[] ids, int batch, int length) = Ids(golden, text);
        int[] positions = [.. Enumerable.Range(0, ids.Length).Select(row => row % length)];
        using var tape = new Tape(model.Device, recording: false);
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using InputEmbedding embedding = model.LoadEmbedding();
        using var inputs = new PassInputs(embedding, model.Config.Layers, ids, x, positions);
        float[] hidden = Singles(golden, $"{text}.hidden");
        int size = hidden.Length / (model.Config.Layers + 1);
        ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(batch, length));
        var state = new Variable(x);
        errors.AddHidden(Relative(hidden.AsSpan(0, size), state.Value.Span), $"input of block 0, {text}");
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            state = block.Forward(tape, state, inputs.For(pass, i));
            errors.AddHidden(Relative(hidden.AsSpan((i + 1) * size, size), state.Value.Span), $"output of block {i}, {text}");
        }
        using OutputHead head = model.LoadHead();
        Tensor logits = head.Logits(tape, state).Value;
        float[] expected = Singles(golden, $"{text}.logits");
        errors.Logits = Math.Max(errors.Logits, Relative(expected, logits.Span));
        for (int i = 0; i < expected.Length; i++) errors.Largest = Math.Max(errors.Largest, Math.Abs(expected[i] - logits.Span[i]));
        double[] nll = new double[batch];
        golden.Read($"{text}.nll", nll.AsSpan());
        for (int b = 0; b < batch; b++) errors.Nll = Math.Max(errors.Nll, Math.Abs(nll[b] - MeanNll(model.Device, logits, ids, b, length)));
    }

    // A prompt, and then one token after the other, as generation does it.
    private static void Lanes(CausalModel model, SafetensorsFile golden, string text, Errors errors)
    {
        const int Prompt = 7;
        (int[] ids, int batch, int length) = Ids(golden, text);
        float[] expected = Singles(golden, $"{text}.logits");
        using InputEmbedding embedding = model.LoadEmbedding();
        using OutputHead head = model.LoadHead();
        IDecoderBlock[] blocks = [.. Enumerable.Range(0, model.Config.Layers).Select(model.LoadBlock)];
        IMixerState[][] states = [.. blocks.Select(block => Enumerable.Range(0, batch).Select(_ => block.CreateState(model.Device, length)).ToArray())];
        var actual = new float[expected.Length];
        int vocabulary = model.Config.VocabularySize;
        for (int position = 0; position < length;)
        {
            int count = position == 0 ? Prompt : 1;
            int[] rows = [.. Enumerable.Range(0, batch * count)], step = [.. rows.Select(row => ids[(row / count * length) + position + (row % count)])];
            using var tape = new Tape(model.Device, recording: false);
            Tensor x = tape.Rent(step.Length, model.Config.HiddenSize);
            using var inputs = new PassInputs(embedding, blocks.Length, step, x, [.. rows.Select(row => position + (row % count))]);
            var state = new Variable(x);
            for (int i = 0; i < blocks.Length; i++)
            {
                LaneWork[] work = [.. states[i].Select((lane, b) => new LaneWork(lane, [new LaneRows(b * count, count, position)]))];
                state = blocks[i].Forward(tape, state, inputs.For(ForwardPass.OfLanes(work), i));
            }
            ReadOnlySpan<float> logits = head.Logits(tape, state).Value.Span;
            foreach (int row in rows)
                logits.Slice(row * vocabulary, vocabulary).CopyTo(actual.AsSpan(((row / count * length) + position + (row % count)) * vocabulary));
            position += count;
        }
        errors.Lanes = Math.Max(errors.Lanes, Relative(expected, actual));
        foreach (IMixerState state in states.SelectMany(lanes => lanes)) state.Dispose();
        foreach (IDecoderBlock block in blocks) block.Dispose();
    }

    private static (int[] Ids, int Batch, int Length) Ids(SafetensorsFile golden, string text)
    {
        long[] stored = new long[golden.Tensors[$"{text}.ids"].ElementCount];
        golden.Read($"{text}.ids", stored.AsSpan());
        int batch = (int)golden.ShapeOf($"{text}.ids")[0];
        return ([.. stored.Select(id => (int)id)], batch, stored.Length / batch);
    }

    private static double MeanNll(Device device, Tensor logits, int[] ids, int sequence, int length)
    {
        using Tensor losses = device.Empty(length - 1), logSumExp = device.Empty(length - 1);
        device.Kernels.CrossEntropyForward(
            logits.RowRange(sequence * length, length - 1), ids.AsSpan((sequence * length) + 1, length - 1), losses, logSumExp);
        return losses.ToArray().Average(loss => (double)loss);
    }

    private static float[] Singles(SafetensorsFile file, string name)
    {
        var values = new float[file.Tensors[name].ElementCount];
        file.ReadSingles(name, values);
        return values;
    }

    private static double Relative(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        double relative = Math.Sqrt(difference / norm);
        return double.IsNaN(relative) ? double.PositiveInfinity : relative;
    }

    /// <summary>The largest errors of a case.</summary>
    private sealed class Errors
    {
        public double Hidden { get; private set; }

        public string Place { get; private set; } = "";

        public double Logits { get; set; }

        public double Largest { get; set; }

        public double Nll { get; set; }

        public double Lanes { get; set; }

        public void AddHidden(double error, string place)
        {
            if (error <= Hidden) return;
            Hidden = error;
            Place = place;
        }

        /// <summary>A line of the table of errors, where a file is asked for.</summary>
        public void Report(string name)
        {
            if (Environment.GetEnvironmentVariable("LRQ_GOLDEN_TABLE") is not { Length: > 0 } file) return;
            lock (typeof(Errors)) File.AppendAllText(file, FormattableString.Invariant($"| {name} | {Hidden:E1} | {Logits:E1} | {Largest:E1} | {Nll:E1} | {Lanes:E1} |\n"));
        }
    }
}
