using System.Text.Json;
using LowRankQuant.Models.ChatTemplates;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>
/// Templates in the manner of published ones, written for these tests: what models of 2025 and 2026 use of Jinja. The texts that are expected are those of
/// Jinja 3.1.6 with Transformers' settings.
/// </summary>
public class PublishedStyleTests
{
    private const string Tools = """
        [{"type": "function", "function": {"name": "weather", "description": "The weather \"now\".", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}, "when": {"type": "object", "properties": {"days": {"type": "integer"}, "hours": {"type": "array", "items": {"type": "number"}}}, "required": ["days"]}, "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["city"]}}}]
        """;

    private static readonly ChatMessage[] Conversation =
        [new("system", "Be brief."), new("user", "Q?"), new("assistant", "<think>\nhm\n</think>\n\nA."), new("user", " Why? ")];

    private static readonly Dictionary<string, string> Templates = new(StringComparer.Ordinal)
    {
        // Two macros that call each other and themselves, as in Gemma's declarations of functions.
        ["Declarations"] = """
            {%- macro argument(value, quote=true) -%}
                {%- if value is string -%}
                    {{- '"' ~ value ~ '"' if quote else value -}}
                {%- elif value is boolean -%}
                    {{- 'true' if value else 'false' -}}
                {%- elif value is mapping -%}
                    {{- '{' -}}
                    {%- set ns = namespace(first=true) -%}
                    {%- for key, member in value | dictsort -%}
                        {%- if not ns.first %},{% endif -%}
                        {%- set ns.first = false -%}
                        {{- key -}}:{{- argument(member, quote=quote) -}}
                    {%- endfor -%}
                    {{- '}' -}}
                {%- elif value is sequence -%}
                    {{- '[' -}}
                    {%- for item in value -%}
                        {{- argument(item, quote) -}}
                        {%- if not loop.last %},{% endif -%}
                    {%- endfor -%}
                    {{- ']' -}}
                {%- else -%}
                    {{- value -}}
                {%- endif -%}
            {%- endmacro -%}
            {%- macro parameters(properties, required=[]) -%}
                {%- for key, value in properties | dictsort -%}
                    {{ key }}:{{ '{' }}type:{{ value['type'] | upper }}
                    {%- if value.description %},description:{{ argument(value['description']) }}{% endif -%}
                    {%- if value['enum'] is defined %},enum:{{ argument(value['enum']) }}{% endif -%}
                    {%- if value['properties'] is defined and value['properties'] is mapping -%}
                        ,properties:{{ '{' }}{{ parameters(value['properties'], value['required'] | default([])) }}{{ '}' }}
                    {%- elif value['type'] | upper == 'ARRAY' and value['items'] is mapping -%}
                        ,items:{{ argument(value['items'], quote=false) }}
                    {%- endif -%}
                    {%- if key in required %},required:true{% endif -%}
                    {{ '}' }}{{ ',' if not loop.last }}
                {%- endfor -%}
            {%- endmacro -%}
            {{ bos_token }}
            {%- if tools %}<turn>developer
            {% for tool in tools %}
            declaration:{{ tool['function'].name }}{{ '{' }}description:{{ argument(tool['function']['description']) }},parameters:{{ '{' }}{{ parameters(tool['function']['parameters']['properties'], tool.function.parameters.required) }}{{ '}}' }}
            {% endfor %}
            {% endif %}
            {%- for message in messages %}
            <turn>{{ 'model' if message.role == 'assistant' else message.role }}
            {{ message.content | trim }}
            {% endfor %}
            {%- if add_generation_prompt %}<turn>model
            {% endif %}
            """,
        // Macros with documents and Python's types, as in Command R's templates.
        ["Documents"] = """
            {%- macro document(doc, number) -%}
            Document: {{ number }}
            {% for key, value in doc.items() if key != 'id' %}
            {{ key | title }}: {{ value | replace('\n', ' ') }}
            {% endfor %}
            {%- endmacro -%}
            {%- macro python_type(schema) -%}
                {%- set known = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool'} -%}
                {%- if schema.type in known -%}
                    {{ known[schema.type] }}
                {%- elif schema.type == 'array' -%}
                    List[{{ python_type(schema['items']) }}]
                {%- elif schema.type == 'object' -%}
                    Dict[str, {{ schema.properties.values() | map(attribute='type') | unique | sort | join(' | ') }}]
                {%- else -%}
                    Any
                {%- endif -%}
            {%- endmacro -%}
            {{ bos_token }}
            {%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | join('\n') %}
            {{- '<SYSTEM>' ~ (system or 'None.') ~ '\n' }}
            {% for tool in tools or [] %}
            def {{ tool.function.name }}(
            {%- for name, schema in tool.function.parameters.properties.items() -%}
                {{ name }}: {{ python_type(schema) }}{{ ' = None' if name not in tool.function.parameters.required }}{{ ', ' if not loop.last }}
            {%- endfor -%}
            ): {{ tool.function.description | tojson }}
            {% endfor %}
            {% for doc in docs %}
            {{ document(doc, loop.index0) }}
            {%- endfor %}
            {% for message in messages | rejectattr('role', 'equalto', 'system') %}
            <{{ message.role | upper }}>{{ message.content.split('</think>')[-1].strip() }}
            {% endfor %}
            """,
        // A line with the date, as Llama 3.2 has it.
        ["DateLine"] = """
            {{- bos_token }}
            {%- if not date_string is defined %}
                {%- if strftime_now is defined %}
                    {%- set date_string = strftime_now("%d %b %Y") %}
                {%- else %}
                    {%- set date_string = "26 Jul 2024" %}
                {%- endif %}
            {%- endif %}
            {%- if messages[0]['role'] == 'system' %}
                {%- set system_message = messages[0]['content'] | trim %}
                {%- set messages = messages[1:] %}
            {%- else %}
                {%- set system_message = "" %}
            {%- endif %}
            {{- "<|system|>\n\nToday: " + date_string + "\n\n" + system_message + "<|end|>" }}
            {%- for message in messages %}
                {{- '<|' + message['role'] + '|>\n\n' + message['content'] | trim + '<|end|>' }}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|assistant|>\n\n' }}
            {%- endif %}
            """,
        // A loop that ends at the last question, as templates of GLM and Kimi look for it.
        ["LastQuestion"] = """
            {%- macro visible(content) -%}
                {%- if content is string -%}{{ content }}{%- elif content is iterable and content is not mapping -%}
                    {%- for part in content -%}{{ part.text if part is mapping else part }}{%- endfor -%}
                {%- elif content is none -%}{%- else -%}{{ content }}{%- endif -%}
            {%- endmacro -%}
            {%- set ns = namespace(last=-1, tools=false) -%}
            {%- for message in messages[::-1] -%}
                {%- if message.role != 'user' -%}{%- continue -%}{%- endif -%}
                {%- set ns.last = messages | length - loop.index -%}
                {%- break -%}
            {%- endfor -%}
            [start]
            {%- for message in messages %}
            {% if message.role == 'assistant' %}
            <|assistant|>
            {%- set thought, said = '', visible(message.content) -%}
            {%- if '</think>' in said -%}
                {%- set thought = said.split('</think>', 1)[0].rstrip('\n').split('<think>')[-1].lstrip('\n') -%}
                {%- set said = said.rsplit('</think>', 1)[-1].lstrip('\n') -%}
            {%- endif %}
            {%- if loop.index0 > ns.last and thought %}<think>{{ thought }}</think>{% else %}</think>{% endif -%}
            {{ said.strip() }}
            {%- else %}
            <|{{ message.role }}|>{{ visible(message.content).strip() }}
            {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}<|assistant|>{{ '</think>' if (enable_thinking is defined and not enable_thinking) else '<think>' }}{% endif %}
            """,
        // Sections with the date and what is switched on, as templates of Granite and SmolLM3 have them.
        ["Sections"] = """
            {%- set mode = "/think" if enable_thinking | default(true) else "/no_think" -%}
            {%- if messages[0].role == "system" -%}
                {%- set system = messages[0].content.removesuffix("/no_think").rstrip() -%}
                {%- if "/system_override" in system -%}
                    {%- set mode = "" -%}
                {%- endif -%}
            {%- endif -%}
            {%- set today = strftime_now("%B %d, %Y") -%}
            {%- set sections = {
                "Knowledge Cutoff Date": "June 2025",
                "Today's Date": today,
                "Reasoning Mode": mode,
            } -%}
            <|start|>system
            ## Metadata

            {% for title, text in sections.items() if text %}
            {{ title }}: {{ text }}
            {% endfor %}

            {% if system is defined -%}
            ## Instructions

            {{ system | indent(2, first=true) }}
            {%- endif %}

            {% if tools -%}
            ## Tools ({{ tools | length }})
            {{ tools | map(attribute='function') | map(attribute='name') | list }}
            {% for tool in tools %}{{ "<tool>%s</tool>" | format(tool.function | tojson) }}
            {% endfor %}
            {%- endif -%}
            <|end|>
            {% for message in messages if message.role != "system" -%}
            {% generation %}
            <|start|>{{ message.role }}
            {{ (message.content | string).replace("<think>", "[", 1).replace("</think>", "]") }}<|end|>
            {% endgeneration %}
            {% endfor -%}
            {%- if add_generation_prompt -%}
            <|start|>assistant
            {{ "<think>\n\n</think>\n" if mode == "/no_think" }}
            {%- endif -%}
            """,
    };

    [Theory]
    [InlineData("Declarations", "{}", true, true,
        "<s><turn>developer\ndeclaration:weather{description:\"The weather \"now\".\",parameters:{city:{type:STRING,description:\"Where.\",required:true},unit:{type:STRING,enum:[\"C\",\"F\"]},when:{type:OBJECT,properties:{days:{type:INTEGER,required:true},hours:{type:ARRAY,items:{type:number}}}}}}\n<turn>system\nBe brief.\n<turn>user\nQ?\n<turn>model\n<think>\nhm\n</think>\n\nA.\n<turn>user\nWhy?\n<turn>model\n")]
    [InlineData("Declarations", "{}", false, false,
        "<s><turn>system\nBe brief.\n<turn>user\nQ?\n<turn>model\n<think>\nhm\n</think>\n\nA.\n<turn>user\nWhy?\n")]
    [InlineData("Documents", "{\"docs\": [{\"id\": 1, \"title\": \"on rain\", \"text\": \"It\\nrains.\"}, {\"title\": \"sun\"}]}", true, true,
        "<s><SYSTEM>Be brief.\n\ndef weather(city: str, when: Dict[str, array | integer] = None, unit: str = None): \"The weather \\\"now\\\".\"\nDocument: 0\nTitle: on rain\nText: It rains.\nDocument: 1\nTitle: sun\n<USER>Q?\n<ASSISTANT>A.\n<USER>Why?\n")]
    [InlineData("Documents", "{\"docs\": [{\"id\": 1, \"title\": \"on rain\", \"text\": \"It\\nrains.\"}, {\"title\": \"sun\"}]}", false, false,
        "<s><SYSTEM>Be brief.\n\nDocument: 0\nTitle: on rain\nText: It rains.\nDocument: 1\nTitle: sun\n<USER>Q?\n<ASSISTANT>A.\n<USER>Why?\n")]
    [InlineData("DateLine", "{}", true, false,
        "<s><|system|>\n\nToday: 26 Jul 2024\n\nBe brief.<|end|><|user|>\n\nQ?<|end|><|assistant|>\n\n<think>\nhm\n</think>\n\nA.<|end|><|user|>\n\nWhy?<|end|><|assistant|>\n\n")]
    [InlineData("DateLine", "{\"strftime_now\": \"2026-12-01\"}", true, false,
        "<s><|system|>\n\nToday: 01 Dec 2026\n\nBe brief.<|end|><|user|>\n\nQ?<|end|><|assistant|>\n\n<think>\nhm\n</think>\n\nA.<|end|><|user|>\n\nWhy?<|end|><|assistant|>\n\n")]
    [InlineData("DateLine", "{\"date_string\": \"1 Jan 2025\"}", false, false,
        "<s><|system|>\n\nToday: 1 Jan 2025\n\nBe brief.<|end|><|user|>\n\nQ?<|end|><|assistant|>\n\n<think>\nhm\n</think>\n\nA.<|end|><|user|>\n\nWhy?<|end|>")]
    [InlineData("LastQuestion", "{}", true, false,
        "[start]<|system|>Be brief.<|user|>Q?<|assistant|></think>A.<|user|>Why?<|assistant|><think>")]
    [InlineData("LastQuestion", "{\"enable_thinking\": false}", true, false,
        "[start]<|system|>Be brief.<|user|>Q?<|assistant|></think>A.<|user|>Why?<|assistant|></think>")]
    [InlineData("Sections", "{\"strftime_now\": \"2026-03-09T08:00:00\"}", true, true,
        "<|start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday's Date: March 09, 2026\nReasoning Mode: /think\n\n## Instructions\n\n  Be brief.\n## Tools (1)\n['weather']\n<tool>{\"name\": \"weather\", \"description\": \"The weather \\\"now\\\".\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\", \"description\": \"Where.\"}, \"when\": {\"type\": \"object\", \"properties\": {\"days\": {\"type\": \"integer\"}, \"hours\": {\"type\": \"array\", \"items\": {\"type\": \"number\"}}}, \"required\": [\"days\"]}, \"unit\": {\"type\": \"string\", \"enum\": [\"C\", \"F\"]}}, \"required\": [\"city\"]}}</tool>\n<|end|>\n<|start|>user\nQ?<|end|>\n<|start|>assistant\n[\nhm\n]\n\nA.<|end|>\n<|start|>user\n Why? <|end|>\n<|start|>assistant\n")]
    [InlineData("Sections", "{\"strftime_now\": \"2026-03-09\", \"enable_thinking\": false}", true, false,
        "<|start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday's Date: March 09, 2026\nReasoning Mode: /no_think\n\n## Instructions\n\n  Be brief.\n<|end|>\n<|start|>user\nQ?<|end|>\n<|start|>assistant\n[\nhm\n]\n\nA.<|end|>\n<|start|>user\n Why? <|end|>\n<|start|>assistant\n<think>\n\n</think>\n")]
    public void AreRenderedAsByTransformers(string template, string variables, bool prompt, bool tools, string expected)
    {
        TemplateArguments arguments = TemplateArguments.Parse(variables);
        using JsonDocument known = JsonDocument.Parse(Tools);
        string text = ChatTemplate.Parse(Templates[template].ReplaceLineEndings("\n")).Render(Conversation, "<s>", "</s>", prompt, tools ? arguments.With(known.RootElement) : arguments);
        Assert.Equal(expected, text);
    }
}
