using System.Text.Json;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Calls of tools and their answers, as templates write them. What is expected was worked out from the templates by hand.</summary>
public class ToolCallTests
{
    private const string Tools = """[{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]""";

    private const string QwenTools =
        "<|im_start|>system\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" +
        """{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}""" +
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n" +
        "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n";

    // In the manner of Llama 3.1: a header for every message, one call a message, arguments always as JSON, tools with four spaces a level.
    private const string Llama3 = """
        {{- bos_token }}
        {%- if tools is not none %}
            {{- "<|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\n" }}
            {%- for t in tools %}
                {{- t | tojson(indent=4) }}
                {{- "\n\n" }}
            {%- endfor %}
            {{- "<|eot_id|>" }}
        {%- endif %}
        {%- for message in messages %}
            {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
                {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
            {%- elif 'tool_calls' in message %}
                {%- if not message.tool_calls|length == 1 %}
                    {{- raise_exception("This model only supports single tool-calls at once!") }}
                {%- endif %}
                {%- set tool_call = message.tool_calls[0].function %}
                {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
                {{- '{"name": "' + tool_call.name + '", ' }}
                {{- '"parameters": ' }}
                {{- tool_call.arguments | tojson }}
                {{- "}" }}
                {{- "<|eot_id|>" }}
            {%- elif message.role == "tool" or message.role == "ipython" %}
                {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
                {%- if message.content is mapping or message.content is iterable %}
                    {{- message.content | tojson }}
                {%- else %}
                    {{- message.content }}
                {%- endif %}
                {{- "<|eot_id|>" }}
            {%- endif %}
        {%- endfor %}
        """;

    [Fact]
    public void Qwen3WritesCallsAndAnswers()
    {
        string template = ChatTemplateFile.Find(TestData.Path("tokenizers", "hf-qwen3"))!;
        ChatMessage[] messages =
        [
            new("user", "Paris?"),
            new("assistant", "") { ToolCalls = Json("""[{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris", "days": 2, "at": 1.0, "now": true}}}]""") },
            new("tool", "21") { Name = "weather" },
            new("assistant", "It is 21."),
        ];
        Assert.Equal(
            QwenTools + "<|im_start|>user\nParis?<|im_end|>\n" +
            "<|im_start|>assistant\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2, \"at\": 1.0, \"now\": true}}\n</tool_call><|im_end|>\n" +
            "<|im_start|>user\n<tool_response>\n21\n</tool_response><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nIt is 21.<|im_end|>\n",
            Render(template, messages, Tools));
        // Two calls, one without the wrapper; arguments that are texts are put out as they are, as this template says; two answers stand together.
        messages =
        [
            new("user", "Paris and Rome?"),
            new("assistant", "Let me see.") { ToolCalls = Json("""[{"function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}}, {"name": "weather", "arguments": {"city": "Rōma"}}]""") },
            new("tool", "21"), new("tool", "25"), new("user", "Thanks."),
        ];
        Assert.Equal(
            "<|im_start|>user\nParis and Rome?<|im_end|>\n<|im_start|>assistant\nLet me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Paris\"}}\n</tool_call>\n" +
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rōma\"}}\n</tool_call><|im_end|>\n" +
            "<|im_start|>user\n<tool_response>\n21\n</tool_response>\n<tool_response>\n25\n</tool_response><|im_end|>\n<|im_start|>user\nThanks.<|im_end|>\n",
            Render(template, messages, null));
    }

    [Theory]
    [InlineData("""{"city": "Paris", "days": []}""", """{"city": "Paris", "days": []}""")]
    // This template writes all arguments as JSON: a text of JSON becomes what it says.
    [InlineData("\"{\\\"city\\\":\\\"Paris\\\"}\"", """{"city": "Paris"}""")]
    // What is no object is a text.
    [InlineData("\"Paris\"", "\"Paris\"")]
    [InlineData("\"[1]\"", "\"[1]\"")]
    public void Llama3WritesOneCallAMessage(string arguments, string expected)
    {
        ChatMessage[] messages =
        [
            new("user", " Paris? "), new("assistant", null) { ToolCalls = Json($"[{{\"id\": \"c1\", \"type\": \"function\", \"function\": {{\"name\": \"weather\", \"arguments\": {arguments}}}}}]") },
            new("tool", "21 \"C\"") { ToolCallId = "c1" }, new("assistant", "It is 21."),
        ];
        const string Described = """
            {
                "name": "weather",
                "parameters": {
                    "type": "object",
                    "required": [
                        "city",
                        "days"
                    ],
                    "properties": {}
                }
            }
            """;
        Assert.Equal(
            $"<s><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\n{Described.ReplaceLineEndings("\n")}\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nParis?<|eot_id|>" +
            $"<|start_header_id|>assistant<|end_header_id|>\n\n{{\"name\": \"weather\", \"parameters\": {expected}}}<|eot_id|>" +
            "<|start_header_id|>ipython<|end_header_id|>\n\n\"21 \\\"C\\\"\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nIt is 21.<|eot_id|>",
            Render(Llama3, messages, """[{"name": "weather", "parameters": {"type": "object", "required": ["city", "days"], "properties": {}}}]"""));
    }

    [Fact]
    public void ATemplateThatTakesOneCallRefusesTwo()
    {
        ChatMessage[] messages = [new("assistant", null) { ToolCalls = Json("""[{"function": {"name": "a"}}, {"function": {"name": "b"}}]""") }];
        Assert.Contains("single tool-calls", Assert.Throws<ChatTemplateException>(() => Render(Llama3, messages, null)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{{ [] | tojson(indent=2) }} {{ messages | tojson(indent=1) }}", "[] [\n {\n  \"role\": \"user\",\n  \"content\": \"é\"\n }\n]")]
    [InlineData("{{ messages[0] | tojson(indent=none, ensure_ascii=false) }}", "{\"role\": \"user\", \"content\": \"é\"}")]
    [InlineData("{{ 3 / 2 }} {{ 4 / 2 }} {{ (10 / 3) | int }}", "1.5 2.0 3")]
    public void JsonIsPythons(string template, string expected) => Assert.Equal(expected, ChatTemplate.Parse(template).Render([new ChatMessage("user", "é")], "", "", addGenerationPrompt: false));

    [Theory]
    [InlineData("{{ messages | tojson(indent=99) }}", "'tojson' (indent)")]
    [InlineData("{{ messages | tojson(separators=1) }}", "'tojson' (separators)")]
    [InlineData("{{ messages | tojson(4) }}", "'tojson' (ensure_ascii, sort_keys)")]
    [InlineData("{{ messages | tojson(default=1) }}", "takes no argument 'default'")]
    public void WhatTojsonDoesNotKnowIsNamed(string template, string named) =>
        Assert.Contains(named, Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(template).Render([new ChatMessage("user", "x")], "", "", addGenerationPrompt: false)).Message, StringComparison.Ordinal);

    private static string Render(string template, ChatMessage[] messages, string? tools) =>
        ChatTemplate.Parse(template).Render(messages, "<s>", "</s>", addGenerationPrompt: false, tools is null ? null : TemplateArguments.None.With(Json(tools)));

    private static JsonElement Json(string text)
    {
        using JsonDocument document = JsonDocument.Parse(text);
        return document.RootElement.Clone();
    }
}
