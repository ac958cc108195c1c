using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

/// <summary>Adapters that are more, or belong to other weights, than a sum of the model's weights and branches.</summary>
public sealed class PeftRefusalTests : IDisposable
{
    private const string Module = "model.layers.0.self_attn.q_proj";
    private readonly LowRankQuant.Tests.TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("init_lora_weights", "\"pissa\"", "path_initial_model_for_weight_conversion")]
    [InlineData("init_lora_weights", "\"pissa_niter_16\"", "path_initial_model_for_weight_conversion")]
    [InlineData("init_lora_weights", "\"olora\"", "path_initial_model_for_weight_conversion")]
    [InlineData("init_lora_weights", "\"corda\"", "path_initial_model_for_weight_conversion")]
    [InlineData("init_lora_weights", "\"lora_ga\"", "path_initial_model_for_weight_conversion")]
    [InlineData("init_lora_weights", "\"loftq\"", "LoftQ quantized")]
    [InlineData("init_lora_weights", "\"brand_new\"", "'brand_new' is not known")]
    [InlineData("use_dora", "true", "DoRA")]
    [InlineData("use_qalora", "true", "QALoRA")]
    [InlineData("use_something", "true", "is not known")]
    [InlineData("something_config", "{\"a\": 1}", "is not known")]
    [InlineData("lora_bias", "true", "biases")]
    [InlineData("bias", "\"lora_only\"", "trained biases")]
    [InlineData("fan_in_fan_out", "true", "transposed")]
    [InlineData("modules_to_save", "[\"lm_head\"]", "whole modules")]
    [InlineData("modules_to_save", "\"lm_head\"", "whole modules")]
    [InlineData("trainable_token_indices", "[1, 2]", "rows of the embedding")]
    [InlineData("trainable_token_indices", "{\"embed_tokens\": [1]}", "rows of the embedding")]
    [InlineData("target_parameters", "[\"mlp.experts.gate_up_proj\"]", "parameters without a module")]
    [InlineData("layer_replication", "[[0, 2], [1, 3]]", "layers are repeated")]
    [InlineData("alora_invocation_tokens", "[5]", "certain tokens")]
    [InlineData("arrow_config", "{\"top_k\": 2}", "several adapters")]
    [InlineData("target_modules", "[\"v_proj\"]", "PEFT drops them")]
    [InlineData("target_modules", "\".*v_proj\"", "PEFT drops them")]
    [InlineData("exclude_modules", "[\"q_proj\"]", "PEFT drops them")]
    [InlineData("layers_to_transform", "[1, 2]", "leaves out layer 0")]
    [InlineData("layers_to_transform", "3", "leaves out layer 0")]
    [InlineData("peft_type", "\"LOHA\"", "LORA is")]
    public void IsRefusedByTheKey(string key, string value, string expected)
    {
        CheckpointFormatException refused = Assert.Throws<CheckpointFormatException>(() => Open(key, value).Dispose());
        Assert.Equal(key, refused.Item);
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("init_lora_weights", "\"gaussian\"")]
    [InlineData("init_lora_weights", "\"eva\"")]
    [InlineData("init_lora_weights", "\"orthogonal\"")]
    [InlineData("init_lora_weights", "true")]
    [InlineData("init_lora_weights", "false")]
    [InlineData("modules_to_save", "null")]
    [InlineData("trainable_token_indices", "null")]
    [InlineData("loftq_config", "{\"loftq_bits\": 4}")]
    [InlineData("megatron_config", "{\"a\": 1}")]
    [InlineData("corda_config", "{\"a\": 1}")]
    [InlineData("target_modules", "[\"self_attn.q_proj\"]")]
    [InlineData("target_modules", "\"all-linear\"")]
    [InlineData("target_modules", "\".*\\\\.(q|v)_proj\"")]
    [InlineData("exclude_modules", "[\"v_proj\"]")]
    [InlineData("layers_to_transform", "[0]")]
    [InlineData("qalora_group_size", "16")]
    public void IsReadBecauseItLeavesTheSumAsItIs(string key, string value)
    {
        using PeftAdapter adapter = Open(key, value);
        Assert.Equal(2, adapter.Read(Module)!.B[0], 1e-6);
    }

    [Fact]
    public void RankStabilisedFactorsAreHonoured()
    {
        using PeftAdapter adapter = Open("use_rslora", "true");
        // alpha / sqrt(r) = 8 / 2.
        Assert.Equal(4, adapter.Read(Module)!.B[0], 1e-6);
    }

    [Fact]
    public void AnUnsoundConfigurationIsNamedInPlainWords()
    {
        Write("{\"peft_type\": \"LORA\",");
        CheckpointFormatException refused = Assert.Throws<CheckpointFormatException>(() => PeftAdapter.Open(_folder.Path).Dispose());
        Assert.Contains("cut short", refused.Message, StringComparison.Ordinal);
    }

    // Rank 4, alpha 8: a factor of 2 on a B of ones.
    private PeftAdapter Open(string key, string value)
    {
        JsonObject json = new() { ["peft_type"] = "LORA", ["r"] = 4, ["lora_alpha"] = 8, ["target_modules"] = new JsonArray("q_proj") };
        json[key] = JsonNode.Parse(value);
        Write(json.ToJsonString());
        SafetensorsWriter.Write(_folder.File(PeftAdapterWriter.TensorFile),
        [
            new PendingTensor($"base_model.model.{Module}.lora_A.weight", SafetensorsType.F32, [4, 8], sink => sink.WriteSingles(Enumerable.Repeat(1f, 32).ToArray())),
            new PendingTensor($"base_model.model.{Module}.lora_B.weight", SafetensorsType.F32, [8, 4], sink => sink.WriteSingles(Enumerable.Repeat(1f, 32).ToArray())),
        ]);
        return PeftAdapter.Open(_folder.Path);
    }

    private void Write(string config) => File.WriteAllText(_folder.File(PeftAdapterWriter.ConfigFile), config);
}
