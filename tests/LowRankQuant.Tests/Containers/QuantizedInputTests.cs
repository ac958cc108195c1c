using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Generation;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Containers;

/// <summary>compressed-tensors folders whose activations or caches are quantized.</summary>
public sealed class QuantizedInputTests
{
    private const double Tolerance = 1e-4;

    /// <summary>
    /// A symmetric grid by token puts its own extreme on a tie: -127.5 becomes -128 or -127 by the last bit of the activations, which another order of sums changes. So the
    /// logits have to be those of the reference for one choice at these ties, found token by token, and for no other change.
    /// </summary>
    [Theory]
    [InlineData("w8a8-channel-token", false)]
    [InlineData("w8a8-channel-token", true)]
    [InlineData("w4a8-g32-token", false)]
    [InlineData("w4a8-g32-token", true)]
    [InlineData("w4a8-channel-token-pack", false)]
    [InlineData("w4a8-channel-token-pack", true)]
    [InlineData("mixed", false)]
    [InlineData("mixed", true)]
    public void SymmetricGridsByTokenGiveTheReferenceUpToTheirOwnTies(string name, bool codes)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", name + ".golden.safetensors"));
        using SafetensorsFile inputs = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "base_logits.safetensors"));
        var ids = new long[inputs.Tensors["input_ids"].ElementCount];
        inputs.Read("input_ids", ids.AsSpan());
        float[] expected = new float[golden.Tensors["logits_f32"].ElementCount];
        golden.ReadSingles("logits_f32", expected);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = ModelSource.Open(TestData.Path("golden", "compressed-tensors", name), device, use: ModelUse.Forward);
        model.MultipliesCodes = codes;
        int length = (int)inputs.ShapeOf("input_ids")[1], vocabulary = model.Config.VocabularySize, ties = 0, turned = 0;
        IDecoderBlock[] blocks = [.. Enumerable.Range(0, model.Config.Layers).Select(model.LoadBlock)];
        using InputEmbedding embedding = model.LoadEmbedding();
        using OutputHead head = model.LoadHead();
        var sites = new List<TieChoice>();
        foreach (IGrouping<IActivationQuantizer, LinearSlot> shared in blocks.SelectMany(block => block.Slots).Where(slot => slot.InputQuantizer is not null).GroupBy(slot => slot.InputQuantizer!))
        {
            // The same quantizer serves several inputs of a block; each gets choices of its own.
            foreach (IEnumerable<LinearSlot> site in shared.GroupBy(slot => slot.Name is "self_attn.o_proj" or "mlp.down_proj" ? slot.Name : slot.Name.Split('.')[0]))
            {
                var choice = new TieChoice((GridQuantizer)shared.Key);
                foreach (LinearSlot slot in site) slot.InputQuantizer = choice;
                sites.Add(choice);
            }
        }
        for (int sequence = 0; sequence < ids.Length / length; sequence++)
        {
            int[] window = [.. ids.AsSpan(sequence * length, length).ToArray().Select(id => (int)id)];
            foreach (TieChoice site in sites) site.Turned.Clear();
            for (int row = 0; row < length; row++)
            {
                Logits(window);
                (TieChoice Site, (int Row, float Value) Tie)[] open = [.. sites.SelectMany(site => site.Ties.Where(tie => tie.Row == row).Select(tie => (site, tie)))];
                ties += open.Length;
                double[] errors = new double[1 << open.Length];
                int found = -1;
                foreach (int choice in Enumerable.Range(0, errors.Length).OrderBy(bits => System.Numerics.BitOperations.PopCount((uint)bits)))
                {
                    for (int i = 0; i < open.Length; i++)
                    {
                        if ((choice >> i) % 2 == 1) open[i].Site.Turned.Add(open[i].Tie);
                        else open[i].Site.Turned.Remove(open[i].Tie);
                    }
                    errors[choice] = ForwardTrace.RelativeError(
                        expected.AsSpan(((sequence * length) + row) * vocabulary, vocabulary), Logits(window).AsSpan(row * vocabulary, vocabulary));
                    if (errors[choice] > Tolerance) continue;
                    found = choice;
                    break;
                }
                Assert.True(found >= 0, $"sequence {sequence}, token {row}: {errors.Min():e2} at best of {errors.Length} choices");
                turned += System.Numerics.BitOperations.PopCount((uint)found);
            }
        }
        Assert.InRange(turned, 0, ties / 2);
        int quantized = blocks.SelectMany(block => block.Slots).Count(slot => slot.InputQuantizer is not null);
        Assert.Equal(codes ? quantized : 0, blocks.SelectMany(block => block.Slots).Count(slot => slot.MultipliesCodes));
        TestContext.Current.TestOutputHelper!.WriteLine($"{name}: {turned} of {ties} ties turned; products: {model.Products.Describe()}");
        foreach (IDecoderBlock block in blocks) block.Dispose();

        float[] Logits(int[] window)
        {
            using var tape = new Tape(device, recording: false);
            Tensor x = tape.Rent(window.Length, model.Config.HiddenSize);
            using var passes = new PassInputs(embedding, model.Config.Layers, window, x, [.. Enumerable.Range(0, window.Length)]);
            ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, window.Length));
            var state = new Variable(x);
            for (int i = 0; i < blocks.Length; i++) state = blocks[i].Forward(tape, state, passes.For(pass, i));
            return head.Logits(tape, state).Value.ToArray();
        }
    }

    /// <summary>The command line runs them, also as reference, and says so; what learns from a model still takes none.</summary>
    [Fact]
    public async Task EvalRunsThemAndQuantizeRefusesThem()
    {
        using var folder = new TemporaryFolder();
        string ids = folder.File("ids.jsonl"), path = Golden("w8a8-channel-static-asym"), cache = Golden("w4-g32-sym-kv8-head-asym"), output = folder.File("out");
        File.WriteAllText(ids, "[1,5,9,77,100,3,8,21,34,55,89,13]\n[1,50,19,7,10,33,81,2,3,5,8,13]\n");
        CliResult plain = await Lrq.Run("eval", path, "--ids", ids, "--reference", cache, "--threads", "1");
        Assert.True(plain.Code == 0, plain.Error);
        Assert.Contains("with quantized inputs (group_0: int8 asymmetric tensor), products: int8:", plain.Out, StringComparison.Ordinal);
        JsonNode one = await Eval(path, "--ids", ids, "--reference", path, "--threads", "1"), two = await Eval(path, "--ids", ids, "--reference", cache, "--threads", "2");
        Assert.Equal(0, (double)one["klDivergence"]!);
        Assert.Equal((double)one["negativeLogLikelihood"]!, (double)two["negativeLogLikelihood"]!);
        Assert.NotEqual(0, (double)two["klDivergence"]!);
        Assert.Equal("quantized inputs (group_0: int8 asymmetric tensor)", (string?)one["quantizers"]);
        JsonNode floats = await Eval(path, "--ids", ids, "--threads", "1", "--products", "float");
        Assert.Equal(["int8", "float"], new[] { one, floats }.Select(figures => (string?)figures["products"]));
        Assert.Equal((double)one["negativeLogLikelihood"]!, (double)floats["negativeLogLikelihood"]!, 1e-4);
        Assert.NotEqual((double)one["negativeLogLikelihood"]!, (double)floats["negativeLogLikelihood"]!);
        CliResult idle = await Lrq.Run("eval", cache, "--ids", ids, "--products", "float");
        Assert.Equal(2, idle.Code);
        Assert.Contains("--products is for models whose inputs are rounded to integers", idle.Error, StringComparison.Ordinal);
        CliResult seen = await Lrq.Run("inspect", cache);
        Assert.Contains("a quantized key-value cache (kv_cache_scheme int8 asymmetric attn_head)", seen.Out, StringComparison.Ordinal);
        CliResult refused = await Lrq.Run("quantize", path, "--method", "rtn", "--bits", "4", "--out", output);
        Assert.NotEqual(0, refused.Code);
        Assert.Contains("quantized inputs (group_0: int8 asymmetric tensor)", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--weights-only", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("w8a8-channel-token", "config_groups.group_0.output_activations", """{"num_bits":8,"type":"int","symmetric":true,"strategy":"tensor","dynamic":false}""", "quantized outputs")]
    [InlineData("w8a8-channel-token", "config_groups.group_0.input_activations.type", "\"float\"", "float8 symmetric token dynamic")]
    [InlineData("w8a8-channel-token", "config_groups.group_0.input_activations.strategy", "\"tensor\"", "int8 symmetric tensor dynamic")]
    [InlineData("w8a8-channel-token", "config_groups.group_0.input_activations.dynamic", "\"local\"", "int8 symmetric token dynamic local")]
    [InlineData("w8a8-channel-token", "config_groups.group_1", """{"targets":["re:.*norm"],"input_activations":{"num_bits":8,"type":"int","strategy":"token","dynamic":true}}""", "group_1")]
    [InlineData("w4-g32-sym-kv8", "kv_cache_scheme.type", "\"float\"", "kv_cache_scheme float8 symmetric tensor")]
    [InlineData("w4-g32-sym-kv8", "kv_cache_scheme.dynamic", "true", "kv_cache_scheme int8 symmetric tensor dynamic")]
    [InlineData("w4-g32-sym-kv8", "kv_cache_scheme.strategy", "\"token\"", "kv_cache_scheme int8 symmetric token")]
    [InlineData("w8a8-channel-static-asym", "config_groups.group_0.input_activations.num_bits", "4", "does not fit 4 bits")]
    [InlineData("w8a8-channel-static-sym", "config_groups.group_0.input_activations.symmetric", "false", "input_zero_point")]
    [InlineData("w4-g32-sym-kv8", "kv_cache_scheme.strategy", "\"attn_head\"", "2 heads have as many steps")]
    [InlineData("w4-g32-sym-kv8-head-asym", "kv_cache_scheme.strategy", "\"tensor\"", "a tensor has one step")]
    [InlineData("w8a8-channel-token", "config_groups.group_0.input_activations.dynamic", "false", "int8 symmetric token")]
    public async Task WhatIsNotExecutedIsRefusedByName(string name, string key, string value, string reason)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model"), ids = folder.File("ids.jsonl");
        ContainerModelTests.CopyFolder(Golden(name), path);
        File.WriteAllText(ids, "[1,5,9,77,100,3]\n");
        Edit(path, config => Set(config, key, JsonNode.Parse(value)));
        CliResult result = await Lrq.Run("eval", path, "--ids", ids, "--threads", "1");
        Assert.Equal(1, result.Code);
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Lrq.Run("inspect", path)).Code);
    }

    /// <summary>Weights of our own with inputs rounded by token: text, tasks of a quiz and the reference work; a head whose input is rounded is refused.</summary>
    [Fact]
    public async Task OurOwnWeightsRunWithQuantizedInputs()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("w8"), head = folder.File("head"), text = Path.Combine(TestData.Demo, "evaluation.txt"), quiz = folder.File("quiz.json");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(output, "--bits", "8"))).Code);
        JsonNode before = await Eval(output, "--text", text, "--windows", "1", "--threads", "1");
        Edit(output, AddInputs);
        JsonNode after = await Eval(output, "--text", text, "--windows", "1", "--reference", TestData.Demo, "--threads", "1");
        double plain = (double)before["negativeLogLikelihood"]!, quantized = (double)after["negativeLogLikelihood"]!;
        Assert.NotEqual(plain, quantized);
        Assert.InRange(quantized, plain - 0.05, plain + 0.05);
        Assert.InRange((double)after["klDivergence"]!, 1e-6, 0.05);

        File.WriteAllText(folder.File("quiz.jsonl"), """{"q":"Once upon a time there were three cats. They","options":["played","ran away","were happy"],"right":0}""");
        File.WriteAllText(quiz, """{"name":"quiz","file":"quiz.jsonl","context":"{{q}}","choices":["options"],"answer":"right"}""");
        JsonNode asked = await Eval(output, "--tasks", quiz, "--items", folder.File("items.jsonl"), "--threads", "1");
        Assert.StartsWith("quantized inputs", (string)asked["quantizers"]!, StringComparison.Ordinal);
        Assert.Equal("int8", (string?)asked["products"]);
        Edit(output, quantization => quantization["config_groups"]!["group_0"]!["input_activations"] = null);
        await Eval(output, "--tasks", quiz, "--items", folder.File("plain.jsonl"), "--threads", "1");
        double[] Scores(string name) => [.. JsonNode.Parse(File.ReadLines(folder.File(name)).First())!["logLikelihoods"]!.AsArray().Select(score => (double)score!)];
        Assert.Equal(3, Scores("items.jsonl").Zip(Scores("plain.jsonl")).Count(pair => pair.First != pair.Second && Math.Abs(pair.First - pair.Second) < 1));

        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(head, "--bits", "8", "--head", "8", "--embedding", "8"))).Code);
        Edit(head, AddInputs);
        CliResult refused = await Lrq.Run("eval", head, "--text", text, "--windows", "1", "--threads", "1");
        Assert.Equal(1, refused.Code);
        Assert.Contains("which is no linear of a block", refused.Error, StringComparison.Ordinal);
    }

    /// <summary>What is generated token by token, from a cache of rounded keys and values, is what whole windows hold for most probable.</summary>
    [Theory]
    [InlineData("w4-g32-sym-kv8-head-asym")]
    [InlineData("w8a8-channel-static-asym")]
    public void GenerationFollowsWholeWindows(string name)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Kernels = CpuKernelKind.Scalar, Threads = 1 });
        using CausalModel model = ModelSource.Open(Golden(name), device, use: ModelUse.Forward);
        using var sampler = new TokenSampler(model);
        int[] ids = [1, 5, 9, 77, 100];
        int[] added = sampler.Sample([ids], 12, new SamplingOptions { Temperature = 0 }, TestContext.Current.CancellationToken)[0];
        float[] logits = ForwardTrace.Of(model, [.. ids, .. added]).Logits;
        int vocabulary = model.Config.VocabularySize;
        for (int i = 0; i < added.Length; i++)
        {
            float[] row = logits[((ids.Length + i - 1) * vocabulary)..((ids.Length + i) * vocabulary)];
            Assert.Equal(Array.IndexOf(row, row.Max()), added[i]);
        }
    }

    [Fact]
    public void AnAdapterOnQuantizedInputsIsRefused()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        string adapter = TestData.Path("golden", "peft", "uniform");
        UnsupportedModelException refused = Assert.Throws<UnsupportedModelException>(() => ModelSource.Open(Golden("w8a8-channel-token"), device, adapter, ModelUse.Forward));
        Assert.Contains("an adapter", refused.Message, StringComparison.Ordinal);
        // A cache behind the projections sees what an adapter makes.
        using CausalModel cached = ModelSource.Open(Golden("w4-g32-sym-kv8"), device, adapter, ModelUse.Forward);
        Assert.True(cached.RunsQuantizers);
    }

    private static string Golden(string name) => TestData.Path("golden", "compressed-tensors", name);

    private static async Task<JsonNode> Eval(string path, params string[] more)
    {
        CliResult result = await Lrq.Run(["eval", path, .. more, "--json"]);
        Assert.True(result.Code == 0, result.Error);
        return JsonNode.Parse(result.Out)!;
    }

    private static void AddInputs(JsonObject quantization)
    {
        foreach ((_, JsonNode? group) in quantization["config_groups"]!.AsObject())
            group!["input_activations"] = JsonNode.Parse("""{"num_bits":8,"type":"int","symmetric":false,"strategy":"token","dynamic":true}""");
    }

    private static void Edit(string folder, Action<JsonObject> change)
    {
        string file = Path.Combine(folder, "config.json");
        JsonNode config = JsonNode.Parse(File.ReadAllText(file))!;
        change(config["quantization_config"]!.AsObject());
        File.WriteAllText(file, config.ToJsonString());
    }

    private static void Set(JsonObject config, string key, JsonNode? value)
    {
        string[] parts = key.Split('.');
        JsonNode node = config;
        foreach (string part in parts[..^1]) node = node[part]!;
        node[parts[^1]] = value;
    }

    /// <summary>A quantizer whose ties, values within float32 error of the middle between two codes, can be turned one by one.</summary>
    private sealed class TieChoice(GridQuantizer inner) : ICodeQuantizer
    {
        private const double Near = 3e-5;

        public HashSet<(int Row, float Value)> Turned { get; } = [];

        public HashSet<(int Row, float Value)> Ties { get; } = [];

        public bool HasCodes => inner.HasCodes;

        public Variable Apply(Tape tape, Variable x) => tape.Once(this, x, () =>
        {
            Variable y = inner.Apply(tape, x);
            Turn(x.Value, (row, j, step, low) =>
            {
                Span<float> rounded = y.Value.RowRange(row, 1).Span;
                rounded[j] = (rounded[j] == low * step ? low + 1 : low) * step;
            });
            return y;
        });

        public CodedActivations Codes(Tape tape, Variable x) => tape.Once(Turned, x, () =>
        {
            CodedActivations y = inner.Codes(tape, x);
            Turn(x.Value, (row, j, _, low) =>
            {
                ref sbyte code = ref y.Codes[(row * y.Columns) + j];
                code = (sbyte)(code == low ? low + 1 : low);
            });
            return y;
        });

        private void Turn(Tensor x, Action<int, int, float, float> turn)
        {
            Ties.Clear();
            int half = inner.Grid.Half;
            for (int row = 0; row < x.Rows; row++)
            {
                float[] values = x.RowRange(row, 1).ToArray();
                float step = values.Max(Math.Abs) / (inner.Grid.Levels / 2f);
                for (int j = 0; j < values.Length; j++)
                {
                    double position = (double)values[j] / step, low = Math.Floor(position);
                    if (!(Math.Abs(position - low - 0.5) < Near) || low < -half || low + 1 > half - 1) continue;
                    Ties.Add((row, values[j]));
                    if (Turned.Contains((row, values[j]))) turn(row, j, step, (float)low);
                }
            }
        }
    }
}
